-- When the newest event was accepted that retention has removed. No row: it has removed none.
select until from events_removed
