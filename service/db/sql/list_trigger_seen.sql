select binding, last_seen_at from trigger_seen
