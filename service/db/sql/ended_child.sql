select id, pipeline, state, failure from runs where id = $1
