"""Contenders: one file each, run by a Python of its own with the packages of the lock file beside it."""
