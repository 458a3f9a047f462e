"""Measurements: each starts its own servers and measures a limit beside the system, in alternating rounds."""
