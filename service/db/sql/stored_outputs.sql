-- The artifacts of the store that these runs refer to, and how often.
select output_digest as digest, max(output_size) as size_bytes, count(*) as uses from attempts
where run_id = any ($1::bigint[]) and output_digest is not null and output_inline is null
group by 1
