"""Backfills in the database: asking for one, going on with one, stopping one.

A step settles the ticks whose runs are over and starts as many as there is room for, in one transaction that holds the
backfill's row: so `max_parallel` holds over all daemons, and a crash leaves either none of a step or all of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from service.db.accept import Accept, Accepted
from service.db.connect import columns, sql
from service.db.offered import EventRow, FateRow, RunRow
from service.db.rows import Row
from service.db.writer import CHANGED, Flush, Operation
from triggers.base import Fate
from triggers.event import EventKey

WAKE = "backfill"


@dataclass(frozen=True, slots=True)
class TickRows:
    """A tick: its event, and the run it starts or the fate that says why not."""

    due_at: datetime
    event: EventRow
    decided: Sequence[RunRow | FateRow]


@dataclass(frozen=True, slots=True)
class Coming:
    """The ticks after the one a backfill had reached; `last`: there are none behind them.

    `rows` makes the rows of one; None: the pipeline is not loaded here. `halts` is why nobody should go on with it.
    """

    reached_at: datetime | None
    ticks: Sequence[tuple[datetime, EventKey]] = ()
    last: bool = False
    rows: Callable[[datetime], TickRows] | None = None
    halts: str = ""


@dataclass(frozen=True, slots=True)
class Stepped:
    """What a step did. `again`: another is worth while at once."""

    started: int
    state: str
    again: bool


@dataclass(eq=False, slots=True)
class PutBackfill(Operation):
    """Ask for a backfill. The answer: its id, and whether it was new."""

    order: ClassVar[int] = 70

    arguments: tuple[Any, ...]

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutBackfill]) -> Sequence[tuple[int, bool]]:
        """One row each, and everybody hears of it."""
        answers = []
        for op in operations:
            row = await flush.connection.fetchrow(sql("put_backfill"), *op.arguments)
            if row is None:  # Somebody else asks for the same at this moment, and has committed now.
                row = await flush.connection.fetchrow(sql("put_backfill"), *op.arguments)
            answers.append((row["id"], row["made"]))
        flush.wakes.add(WAKE)
        return answers


@dataclass(eq=False, slots=True)
class StopBackfill(Operation):
    """Start no more ticks of a backfill. The answer: whether it was running. Its runs go on."""

    order: ClassVar[int] = 71

    backfill: int
    by: str

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[StopBackfill]) -> Sequence[bool]:
        """Safe to repeat: the first one is on record."""
        flush.wakes.add(WAKE)
        return [
            await flush.connection.fetchval(sql("stop_backfill"), op.backfill, op.by) is not None for op in operations
        ]


@dataclass(eq=False, slots=True)
class StepBackfill(Operation):
    """Go on with a backfill. The answer is None while another process does."""

    order: ClassVar[int] = 72
    abandonable: ClassVar[bool] = True

    backfill: int
    coming: Coming

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[StepBackfill]) -> Sequence[Stepped | None]:
        """Events, runs, ticks and the backfill's own row, or nothing."""
        answers: list[Stepped | None] = []
        for op in operations:
            row = await flush.connection.fetchrow(sql("hold_backfill"), op.backfill)
            answers.append(None if row is None else await _Step(flush, row, op.coming).take())
        return answers


@dataclass(slots=True)
class _Step:
    """One step with the backfill's row held."""

    flush: Flush
    row: Row
    coming: Coming
    counts: Counter[str] = field(default_factory=Counter)
    reached_at: datetime | None = None
    halted: str | None = None

    async def take(self) -> Stepped:
        self.halted = self.row["halted"]
        await self._settle()
        if self.halted is None and self.coming.halts:
            self.halted = self.coming.halts
        under_way: int = await self.flush.connection.fetchval(sql("under_way"), self.row["id"])
        through = False
        if self.halted is None and self.coming.rows is not None and self.coming.reached_at == self.row["reached_at"]:
            under_way += await self._start(await self._choose(self.row["max_parallel"] - under_way))
            through = self.coming.last and (not self.coming.ticks or self.reached_at == self.coming.ticks[-1][0])
        state = self._state() if not under_way and (self.halted is not None or through) else "running"
        await self._move(state)
        room = under_way < self.row["max_parallel"]
        again = state == "running" and self.halted is None and room and not through and self.coming.rows is not None
        return Stepped(self.counts["started"], state, again)

    async def _settle(self) -> None:
        """Count the runs that are over; with `stop_on_failure`, one that failed is the last."""
        rows = await self.flush.connection.fetch(sql("settle_backfill"), self.row["id"])
        self.counts.update(row["state"] for row in rows)
        bad = [row for row in rows if row["state"] != "succeeded"]
        if bad and self.row["stop_on_failure"] and self.halted is None:
            first = min(bad, key=lambda row: row["due_at"])
            self.halted = f"run {first['run_id']} {first['state']}"

    async def _choose(self, room: int) -> list[TickRows]:
        """Go over the coming ticks as far as there is room, leaving out those that ran already."""
        keys = [key for _, key in self.coming.ticks]
        ran: set[EventKey] = set()
        if keys and not self.row["again"]:
            found = await self.flush.connection.fetch(sql("ran_already"), keys, self.row["pipeline"])
            ran = {row["event_key"] for row in found}
        chosen: list[TickRows] = []
        for due_at, key in self.coming.ticks:
            if key in ran:
                self.counts["known"] += 1
            elif len(chosen) < room and self.coming.rows is not None:
                chosen.append(self.coming.rows(due_at))
            else:
                break
            self.reached_at = due_at
        return chosen

    async def _start(self, chosen: Sequence[TickRows]) -> int:
        """Accept their events; the answer is how many runs began."""
        if not chosen:
            return 0
        envelopes = [(tick.event.key, tick.event.envelope) for tick in chosen]
        arguments = (*columns(envelopes, 2), self.row["pipeline"])
        before = await self.flush.connection.fetch(sql("take_over_ticks"), *arguments)
        was = {row["event_key"]: row["told"] for row in before}
        decided = [one for tick in chosen for one in tick.decided]
        accept = Accept(
            events=[tick.event for tick in chosen],
            runs=[one for one in decided if isinstance(one, RunRow)],
            fates=[one for one in decided if isinstance(one, FateRow)],
        )
        [accepted] = await Accept.write(self.flush, [accept])
        assert isinstance(accepted, Accepted)
        rows = [
            row for tick in chosen if (row := self._became(tick, accepted, was.get(tick.event.key, ""))) is not None
        ]
        await self.flush.connection.execute(sql("put_backfill_ticks"), self.row["id"], *columns(rows, 4))
        return sum(row[1] == "started" for row in rows)

    def _became(self, tick: TickRows, accepted: Accepted, was: str) -> tuple[datetime, str, int | None, str] | None:
        """The row of a tick; None where the clock was quicker, and it runs already."""
        run_id = accepted.new_runs.get((tick.event.key, self.row["pipeline"]))
        if run_id is not None:
            self.counts["started"] += 1
            return (tick.due_at, "started", run_id, was)
        outcomes = [one for one in accepted.outcomes[tick.event.key] if one.pipeline == self.row["pipeline"]]
        if any(one.fate in (Fate.RAN, Fate.COALESCED) for one in outcomes):
            self.counts["known"] += 1
            return None
        self.counts["refused"] += 1
        reason = "; ".join(f"{one.fate.value}: {one.reason}" for one in outcomes)
        return (tick.due_at, "refused", None, reason)

    def _state(self) -> str:
        """How it ends."""
        if self.row["stopped_by"] is not None:
            return "stopped"
        bad = ("failed", "cancelled", "refused")
        went_wrong = self.halted is not None or any(self.counts[name] + self.row[name] for name in bad)
        return "failed" if went_wrong else "succeeded"

    async def _move(self, state: str) -> None:
        names = ("known", "refused", "started", "succeeded", "failed", "cancelled")
        counts = [self.counts[name] for name in names]
        if any(counts) or self.reached_at or self.halted != self.row["halted"] or state != "running":
            self.flush.wakes.add(CHANGED)
            await self.flush.connection.execute(
                sql("move_backfill"), self.row["id"], self.reached_at, *counts, self.halted, state
            )
