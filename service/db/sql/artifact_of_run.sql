-- How to read an artifact a run refers to, and which stage made it.
select stage, output_digest, output_codec, output_size, output_inline from attempts
where run_id = $1 and output_digest = $2
limit 1
