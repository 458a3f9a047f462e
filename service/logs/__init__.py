"""What stages and the daemon log: kept, bounded, read back, without secrets."""
