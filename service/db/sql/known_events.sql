select key from events where key = any ($1::uuid[])
