"""From a reader to the inbox: each partition's records in their order, and no more of them than fit in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from triggers.kafka.group import Cursor, Fetched, GroupReader

_PATIENCE_S = 1.0


@dataclass(slots=True)
class _Lane:
    """One partition's records on their way. `held`: they wait long, and nothing more is fetched meanwhile."""

    waiting: deque[Fetched] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None
    held: bool = False


class Lanes:
    """Gives what was fetched to `accept`. What one partition waits for keeps no other one waiting.

    A partition whose records are not accepted within a second is paused until they are: then it has at most two
    fetches here, and the client fetches no more of it, while the group hears from us all the time.
    """

    def __init__(
        self, reader: GroupReader, accept: Callable[[Fetched], Awaitable[None]], group: asyncio.TaskGroup
    ) -> None:
        self._reader = reader
        self._accept = accept
        self._group = group
        self._lanes: dict[Cursor, _Lane] = {}

    def put(self, fetched: Fetched) -> None:
        """Have these records accepted after those of their partition that were put before."""
        lane = self._lanes.setdefault(fetched.cursor, _Lane())
        lane.waiting.append(fetched)
        if lane.task is None:
            lane.task = self._group.create_task(self._go_through(fetched.cursor, lane))

    async def keep_up(self) -> None:
        """Wait until everything is accepted but what waits long; of that, pause the partitions."""
        tasks = {lane.task for lane in self._lanes.values() if lane.task is not None and not lane.held}
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=_PATIENCE_S)
        for cursor, lane in self._lanes.items():
            if not lane.held:
                lane.held = True
                self._reader.hold_back(cursor)

    async def _go_through(self, cursor: Cursor, lane: _Lane) -> None:
        try:
            while lane.waiting:
                await self._accept(lane.waiting.popleft())
        finally:
            del self._lanes[cursor]
            if lane.held:
                self._reader.go_on(cursor)
