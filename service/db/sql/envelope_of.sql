select envelope from events where key = $1
