"""A folder, an inbox that records, and file listeners over both."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from triggers.base import (
    Arrival,
    Binding,
    Fate,
    ListenerState,
    Outcome,
    Position,
    Receipt,
    RunId,
    Surroundings,
    Trigger,
    TriggerStatus,
)
from triggers.errors import InboxBusy
from triggers.event import Event
from triggers.files.listener import FilesListener
from triggers.objects.listener import ObjectsListener

PATIENCE_S = 20.0


class SystemClock:
    """The real clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class RecordingInbox:
    """`triggers.base.Inbox` in memory: each event once, a run for each pipeline that wants one, positions by scope."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}
        self.runs: dict[tuple[str, str], Event] = {}
        self.fates: dict[tuple[str, str], Fate] = {}
        self.told: list[str] = []
        self.scopes: dict[str, dict[str, str]] = {}
        self.largest_batch = 0
        self.busy = False
        self.turned_away = 0
        self._changed = asyncio.Condition()

    async def accept(self, arrivals: Sequence[Arrival], positions: Sequence[Position] = ()) -> Sequence[Receipt]:
        async with self._changed:
            self._changed.notify_all()
            if self.busy:
                self.turned_away += 1
                raise InboxBusy("busy", retry_after_s=0.02)
            for position in positions:
                self._move(position)
            self.largest_batch = max(self.largest_batch, len(arrivals))
            return [self._accept(arrival) for arrival in arrivals]

    def _move(self, position: Position) -> None:
        scope = self.scopes.setdefault(position.scope, {})
        if position.value:
            scope[position.key] = position.value
        else:
            scope.pop(position.key, None)

    def _accept(self, arrival: Arrival) -> Receipt:
        event = arrival.event
        self.told.append(event.id)
        first = self.events.setdefault(event.id, event) is event
        for offer in arrival.offers:
            place = (event.id, offer.pipeline)
            self.fates.setdefault(place, offer.fate)
            if offer.fate is Fate.RAN:
                self.runs.setdefault(place, event)
        outcome = [Outcome(offer.pipeline, offer.trigger, offer.fate, "", RunId(1)) for offer in arrival.offers]
        return Receipt(event, first, outcome)

    async def positions(self, scope: str) -> Mapping[str, str]:
        return dict(self.scopes.get(scope, {}))

    def paths(self, pipeline: str = "p") -> list[str]:
        """The path of each run of a pipeline."""
        return sorted(event.data["relative_path"] for (_, name), event in self.runs.items() if name == pipeline)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for accepted events to make it true."""
        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(true)


class ListenerWorld:
    """What a test of a listener stands in: an `inbox` that outlives listeners, and the listener running now."""

    def __init__(self, root: Path, make: type[FilesListener] | type[ObjectsListener]) -> None:
        self.root = root
        self.inbox = RecordingInbox()
        self.listener: FilesListener | ObjectsListener
        self._make = make

    @asynccontextmanager
    async def listening(self, *triggers: Trigger | Binding) -> AsyncIterator[RecordingInbox]:
        """Run a listener over the triggers, those without a binding as pipeline `p`."""
        bindings = [each if isinstance(each, Binding) else Binding("p", each) for each in triggers]
        self.listener = self._make(bindings, Surroundings(self.inbox, SystemClock(), self.root))
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.listener.run())
            try:
                yield self.inbox
            finally:
                running.cancel()

    def status(self) -> TriggerStatus:
        """Of the first binding."""
        return self.listener.statuses()[0]

    async def told(self, note: str, state: ListenerState | None = None) -> None:
        """Wait until the first binding's status says so. Statuses give no signal, so this polls."""
        async with asyncio.timeout(PATIENCE_S):
            while note not in self.status().note or self.status().state is not (state or self.status().state):
                await asyncio.sleep(0.01)


class World(ListenerWorld):
    """A folder, and listeners for its files."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, FilesListener)

    async def paths(self, count: int, pipeline: str = "p") -> list[str]:
        """The paths of a pipeline's runs, once there are `count`."""
        await self.inbox.until(lambda: len(self.inbox.paths(pipeline)) >= count)
        return self.inbox.paths(pipeline)

    def write(self, path: str | bytes, content: str = "x") -> Path:
        """Write a file below the root, with the folders it needs."""
        target = self.root / os.fsdecode(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)
        return target
