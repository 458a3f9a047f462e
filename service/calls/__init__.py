"""Every call of the API, as a client makes it."""
