"""The packages a stage runs with, where these are its own: a lock file made into an environment."""
