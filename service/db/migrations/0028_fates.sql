-- Events are listed by their fate. Most run or are ignored: those are found by walking the events themselves.
create index fates_told on fates (fate, decided_at, event_key)
    where fate in ('late', 'paused', 'rate-limited', 'dead');
