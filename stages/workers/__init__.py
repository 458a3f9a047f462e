"""Worker processes: the daemon's side (`process`), their own side (`worker`), and what goes between (`wire`)."""
