"""Which delivery of a hook each body came with first: kept for senders who sign the body and not the delivery's id."""

from __future__ import annotations

from triggers.base import Position
from triggers.event import EventKey

SCOPE = "hook bodies"


def first_of(hook: str, digest: str, event: EventKey) -> Position:
    """The move that holds if and only if no body with this digest was taken by the hook yet."""
    return Position(SCOPE, f"{hook} {digest}", str(event), expect="")
