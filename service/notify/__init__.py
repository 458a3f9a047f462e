"""Telling a daemon, from a CI job, what the job did. Standard library only: a job should not wait for imports."""
