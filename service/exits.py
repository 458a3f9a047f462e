"""The exit codes of the commands, for scripts."""

from __future__ import annotations

SUCCEEDED = 0
FAILED = 1
USAGE = 2
WAITING = 3
INTERRUPTED = 130
TRANSIENT = 75
"""A stage failed and may succeed when run again: EX_TEMPFAIL of BSD's sysexits.h."""
