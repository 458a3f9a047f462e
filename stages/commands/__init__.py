"""Other programs as the daemon runs them, and attempts made by one: `tidemill stage run`."""
