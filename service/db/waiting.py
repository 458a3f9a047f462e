"""What waits for the writer, in order, and how much of it goes into one flush."""

from __future__ import annotations

from collections import deque
from typing import Generic, Protocol, TypeVar

FLUSH_LIMIT = 1000
# Postgres takes no message of more than a gigabyte: it hangs up, and would again. Nor should a flush outlast the lease.
FLUSH_BYTES = 32 * 1024 * 1024
QUEUE_LIMIT = 10_000
QUEUE_BYTES = 256 * 1024 * 1024


class Weighed(Protocol):
    """What waits."""

    @property
    def alone(self) -> bool:
        """Whether it goes before the others, and in no flush with them."""

    @property
    def weight_bytes(self) -> int:
        """About how much it writes."""


W = TypeVar("W", bound=Weighed)


class Waiting(Generic[W]):
    """Takes in whatever it is given. Who can be put off asks first whether it is `full`."""

    def __init__(self) -> None:
        self._queue: deque[tuple[W, int, bool]] = deque()
        self._weight_bytes = 0

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether as much waits as should."""
        return len(self._queue) >= QUEUE_LIMIT or self._weight_bytes >= QUEUE_BYTES

    def put(self, one: W) -> None:
        """Behind the others, or before them where it goes alone."""
        weight, alone = one.weight_bytes, one.alone
        self._weight_bytes += weight
        put = self._queue.appendleft if alone else self._queue.append
        put((one, weight, alone))

    def take(self) -> list[W]:
        """What goes into the next flush: never more than one that is heavier than a flush should be."""
        taken: list[W] = []
        left = FLUSH_BYTES
        while self._queue and len(taken) < FLUSH_LIMIT:
            one, weight, alone = self._queue[0]
            if taken and weight > left:
                break
            self._queue.popleft()
            left -= weight
            taken.append(one)
            if alone:
                break
        self._weight_bytes -= FLUSH_BYTES - left
        return taken
