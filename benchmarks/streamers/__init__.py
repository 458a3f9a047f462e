"""Whoever else reads a stream record by record: one file each, run as a process of its own."""
