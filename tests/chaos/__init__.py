"""Three daemons under every kind of load while everything is killed at random, and a ledger of what came of it."""
