select binding, expect_every_s, last_seen_at, silent_since from trigger_watches where binding = any($1)
