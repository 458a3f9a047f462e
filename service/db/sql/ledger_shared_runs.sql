-- A run that several events share has each of them at its own place, without a gap.
select format('run %s was given %s events and %s others have joined it', r.id, r.gathered, coalesce(j.joined, 0)) as what
from runs r
left join (
    select run_id, count(*) as joined, count(distinct place) as places, max(place) as last
    from fates where fate = 'coalesced' group by run_id
) j on j.run_id = r.id
where coalesce(r.gathered, 1) - 1 <> coalesce(j.joined, 0) or j.places <> j.joined or j.last <> j.joined
limit $1
