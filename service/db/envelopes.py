"""Events as they are stored, read by the two kinds of readers: those who run them, and those who show them.

Nothing else reads the column (a test sees to that), so no view can forget what is not to be seen.
"""

from __future__ import annotations

from typing import Any

import orjson

from stages.secret_params import Hidden
from triggers.cloudevents import restore
from triggers.event import Event
from triggers.marked import shown


def whole_event(stored: bytes) -> Event:
    """The event with its secrets, for stages and gates."""
    return restore(orjson.loads(stored))


def shown_event(stored: bytes) -> dict[str, Any]:
    """The CloudEvent for everybody else: a secret is `***`, and still equal only to what it hides."""
    return shown(orjson.loads(stored), Hidden.of)
