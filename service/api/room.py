"""How many bytes of requests a process holds at once. What does not fit is sent away, not kept waiting in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Scope

from service.api.problems import Problem

SCOPE = "tidemill.room"


class Room:
    """`most_bytes` for all requests together; one alone may always come, however large."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.held_bytes = 0

    @contextmanager
    def holding(self, scope: Scope) -> Iterator[None]:
        """What `take` is given for this request counts until the block ends, when it is answered."""
        held = scope[SCOPE] = Held(self)
        try:
            yield
        finally:
            self.held_bytes -= held.size_bytes

    def take(self, size_bytes: int) -> None:
        """Raises 503 where there is no room."""
        if self.held_bytes and self.held_bytes + size_bytes > self._most_bytes:
            raise Problem(
                503,
                f"this daemon holds {self.held_bytes} bytes of requests that are not answered yet: send it again",
                headers={"Retry-After": "1", "Connection": "close"},
            )
        self.held_bytes += size_bytes


class Held:
    """What one request holds of it."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size_bytes = 0

    def take(self, size_bytes: int) -> None:
        """As `Room.take`. A request that is alone gets what it asks for."""
        if self._room.held_bytes == self.size_bytes:
            self._room.held_bytes += size_bytes
        else:
            self._room.take(size_bytes)
        self.size_bytes += size_bytes


def take(scope: Scope, size_bytes: int) -> None:
    """Count bytes of a request's body. Raises 503 where there is no room."""
    if (held := scope.get(SCOPE)) is not None:
        held.take(size_bytes)
