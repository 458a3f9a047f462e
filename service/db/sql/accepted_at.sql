-- When the event was accepted that has this place, or the next one.
select accepted_at as at from events where seq >= $1 order by seq limit 1
