-- Which runs made or used an artifact, the newest first, however many they are.
drop index attempts_by_output;
create index attempts_by_output on attempts (output_digest, run_id)
    where output_digest is not null and output_inline is null;
