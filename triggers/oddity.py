"""What odd data makes of code that forgot about it: one event that cannot be read, never a listener that dies of it.

Readers are to check what they take apart. Where one did not, this is told as an error in the log, with where it was.
"""

from __future__ import annotations

import logging

from triggers.errors import InvalidEvent

logger = logging.getLogger("tidemill.triggers")

# A value of another type, shape or size than was thought of. Not: what the machine or the network lacks.
ODDITIES = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
UNREADABLE = (InvalidEvent, *ODDITIES)
"""What to catch around the reading of one event."""


def why_unreadable(error: BaseException) -> str:
    """Why an event is dead, for people: what its reader says, or what became of a reader that did not expect it."""
    if isinstance(error, InvalidEvent):
        return str(error)
    logger.error("a reader did not expect what came: please report this", exc_info=error)
    return f"this cannot be read: {type(error).__name__}: {error}"[:500]
