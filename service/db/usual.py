"""What most flushes are, in one statement: new events and their runs, attempts as they end, runs that are let go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson

from service.db.connect import columns, sql
from service.db.offered import EventRow, FateRow, Place, RunRow, event_columns, fate_columns, run_columns
from triggers.base import Position, RunId
from triggers.event import EventKey

AttemptPlace = tuple[int, str, int, int]


@dataclass(slots=True)
class Usual:
    """Rows for `usual.sql`, each of its own; who has none of those adds nothing and is not usual.

    `notices` are the channels of the log and of what wakes, and the notice that something is in no log. `runs` are the
    ids of the runs that started, once it is written. `reads`: the same flush reads something, too.
    """

    daemon: int
    pauses: int
    notices: tuple[str, str, str]
    events: dict[EventKey, EventRow] = field(default_factory=dict)
    starting: dict[Place, RunRow] = field(default_factory=dict)
    fates: dict[Place, FateRow] = field(default_factory=dict)
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    attempts: dict[AttemptPlace, tuple[Any, ...]] = field(default_factory=dict)
    entries: list[bytes] = field(default_factory=list)
    moves: list[tuple[Any, ...]] = field(default_factory=list)
    runs: dict[Place, RunId] = field(default_factory=dict)
    reads: bool = False

    def accept(
        self,
        events: Sequence[EventRow],
        runs: Sequence[RunRow],
        fates: Sequence[FateRow],
        positions: Sequence[Position],
    ) -> bool:
        """Add events that nobody told of before, with what they lead to."""
        told = len(self.events) + len(events)
        moved = len(self.positions) + len(positions)
        for event in events:
            self.events[event.key] = event
        for run in runs:
            self.starting[run.place] = run
        for fate in fates:
            self.fates[fate.event_key, fate.pipeline] = fate
        for position in positions:
            self.positions[position.scope, position.key] = position
        return len(self.events) == told and len(self.positions) == moved

    def put(self, place: AttemptPlace, row: tuple[Any, ...], entry: dict[str, Any]) -> bool:
        """Add an attempt, and what the log says of it."""
        if place in self.attempts:
            return False
        self.attempts[place] = row
        self.entries.append(orjson.dumps(entry))
        return True

    async def write(self, connection: asyncpg.Connection) -> bool:
        """Write all of it and commit, or, where it turns out not to be usual after all, nothing."""
        try:
            written = await connection.fetchrow(sql("usual"), *self._arguments())
        except asyncpg.exceptions.DivisionByZeroError:
            return False
        self.runs = dict(zip(self.starting, written["runs"] or (), strict=True))
        return True

    def _arguments(self) -> list[Any]:
        positions = [(*place, one.value, one.expect) for place, one in self.positions.items()]
        return [
            *(self.daemon, self.pauses),
            # In one order everywhere: two processes that tell of the same events wait for each other, not in a circle.
            [event_columns(row) for row in sorted(self.events.values(), key=_by_key)],
            [run_columns(row, self.daemon) for row in self.starting.values()],
            [fate_columns(row) for row in self.fates.values()],
            *columns(positions, 4),
            *(list(self.attempts.values()), b",".join(self.entries), self.moves),
            *(*self.notices, len({key for key, _ in self.starting}) < len(self.events)),
        ]


def _by_key(row: EventRow) -> int:
    return row.key.int
