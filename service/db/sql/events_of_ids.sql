select id, envelope from events where id = any ($1::text[])
