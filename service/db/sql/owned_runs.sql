select r.id, r.pipeline, r.epoch, r.resume_epoch, r.adoptions, r.event_key, r.params, r.depth, r.gathered,
    extract(epoch from now() - r.timed_from)::float8 as timed_s,
    r.cancel_requested_at is not null as cancel, r.version as old_version, r.version, e.envelope, now() as at
from runs r join events e on e.key = r.event_key
where r.owner = $1
