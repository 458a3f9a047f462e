"""Accepting events: the one statement that makes them, their runs and their fates durable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from service.db.connect import columns, sql
from service.db.writer import Flush, Operation
from triggers.base import Fate, Outcome, Position, RunId
from triggers.errors import PositionMoved
from triggers.event import EventKey


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as it is stored; `envelope` is its structured JSON."""

    key: EventKey
    source: str
    id: str
    type: str
    subject: str | None
    occurred_at: datetime
    envelope: bytes


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run to be started. With `take` the accepting process drives it at once, without a claim."""

    event_key: EventKey
    pipeline: str
    version: str
    trigger: str
    params: bytes
    priority: int
    take: bool


@dataclass(frozen=True, slots=True)
class FateRow:
    """Why an event starts no run in a pipeline."""

    event_key: EventKey
    pipeline: str
    trigger: str
    fate: Fate
    reason: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the transaction did: which events were new, which runs started, and every event's outcomes."""

    new_events: frozenset[EventKey]
    new_runs: dict[tuple[EventKey, str], RunId]
    outcomes: dict[EventKey, list[Outcome]]


@dataclass(eq=False, slots=True)
class Accept(Operation):
    """Store events with what they lead to, and move positions, or (a position moved meanwhile) nothing at all."""

    order: ClassVar[int] = 10
    abandonable: ClassVar[bool] = True

    events: Sequence[EventRow]
    runs: Sequence[RunRow]
    fates: Sequence[FateRow]
    positions: Sequence[Position] = ()
    started: Callable[[dict[tuple[EventKey, str], RunId]], None] = field(default=lambda runs: None)

    def committed(self, answer: Any) -> None:
        """Hand the runs this process took for itself to whoever drives them."""
        self.started(answer.new_runs if isinstance(answer, Accepted) else {})

    def refused(self) -> None:
        """Give back the places reserved for runs that will not be."""
        self.started({})

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Accept]) -> Sequence[Accepted | PositionMoved]:
        """One answer for each operation. A repeat within the flush is a repeat: the first one gets the run."""
        refused = await _move_positions(flush, operations)
        kept = [operation for operation in operations if operation not in refused]
        rows = await _insert(flush, kept)
        known = await _known_outcomes(flush, kept, rows)
        answers = {id(operation): _answer(operation, rows, known) for operation in kept}
        return [refused.get(operation) or answers[id(operation)] for operation in operations]


@dataclass(slots=True)
class _Inserted:
    events: set[EventKey]
    runs: dict[tuple[EventKey, str], RunId]
    fates: set[tuple[EventKey, str]]


async def _move_positions(flush: Flush, operations: Sequence[Accept]) -> dict[Accept, PositionMoved]:
    guarded = [(op, position) for op in operations for position in op.positions if position.expect is not None]
    refused: dict[Accept, PositionMoved] = {}
    if guarded:
        moves = [(n, p.scope, p.key, p.value, p.expect) for n, (_, p) in enumerate(guarded)]
        moved = {row["move"] for row in await flush.connection.fetch(sql("move_positions"), *columns(moves, 5))}
        refused = {
            op: PositionMoved(f"{p.scope} {p.key} no longer stands at {p.expect or 'nothing'}: read it again")
            for n, (op, p) in enumerate(guarded)
            if n not in moved
        }
    free = {
        (p.scope, p.key): p.value for op in operations if op not in refused for p in op.positions if p.expect is None
    }
    if free:
        rows = [(scope, key, value) for (scope, key), value in sorted(free.items())]
        await flush.connection.execute(sql("put_positions"), *columns(rows, 3))
    return refused


async def _insert(flush: Flush, operations: Sequence[Accept]) -> _Inserted:
    events = {row.key: row for op in operations for row in op.events}
    runs = {(row.event_key, row.pipeline): row for op in reversed(operations) for row in op.runs}
    fates = {(row.event_key, row.pipeline): row for op in reversed(operations) for row in op.fates}
    done = _Inserted(set(), {}, set())
    if not events:
        return done
    arguments = [
        *columns([_event_columns(events[key]) for key in sorted(events)], 7),
        *columns([_run_columns(runs[key], flush.daemon) for key in sorted(runs)], 7),
        *columns([_fate_columns(fates[key]) for key in sorted(fates) if key not in runs], 5),
    ]
    for what, key, pipeline, run_id in await flush.connection.fetch(sql("accept"), *arguments):
        if what == "event":
            done.events.add(key)
        elif what == "fate":
            done.fates.add((key, pipeline))
        else:
            done.runs[key, pipeline] = run_id
            _note(flush, runs[key, pipeline], run_id)
    return done


def _note(flush: Flush, run: RunRow, run_id: RunId) -> None:
    if not run.take:
        flush.wakes.add("")
    flush.log.append({"run": run_id, "pipeline": run.pipeline, "move": "running" if run.take else "queued"})


def _event_columns(row: EventRow) -> tuple[Any, ...]:
    return (row.key, row.source, row.id, row.type, row.subject, row.occurred_at, row.envelope)


def _run_columns(row: RunRow, daemon: int) -> tuple[Any, ...]:
    owner = daemon if row.take else None
    return (row.event_key, row.pipeline, row.version, row.trigger, row.params, row.priority, owner)


def _fate_columns(row: FateRow) -> tuple[Any, ...]:
    return (row.event_key, row.pipeline, row.trigger, row.fate, row.reason)


async def _known_outcomes(flush: Flush, operations: Sequence[Accept], rows: _Inserted) -> dict[UUID, list[Outcome]]:
    """The recorded outcomes of every event that was not wholly new."""
    told = Counter(row.key for op in operations for row in op.events)
    repeats = sorted(key for key, times in told.items() if times > 1 or key not in rows.events)
    known: dict[UUID, list[Outcome]] = {}
    if repeats:
        for key, pipeline, trigger, fate, reason, run_id in await flush.connection.fetch(sql("outcomes_of"), repeats):
            known.setdefault(key, []).append(Outcome(pipeline, trigger, Fate(fate), reason, run_id))
    return known


def _answer(operation: Accept, rows: _Inserted, known: dict[UUID, list[Outcome]]) -> Accepted:
    """Give what is new to the first operation that told of it, by taking it out of `rows`."""
    new_events = frozenset(row.key for row in operation.events if row.key in rows.events)
    rows.events -= new_events
    new_runs = {
        place: rows.runs.pop(place)
        for place in [(row.event_key, row.pipeline) for row in operation.runs]
        if place in rows.runs
    }
    outcomes: dict[EventKey, list[Outcome]] = {row.key: list(known.get(row.key, ())) for row in operation.events}
    for run in operation.runs:
        run_id = new_runs.get((run.event_key, run.pipeline))
        if run_id is not None and run.event_key not in known:
            outcomes[run.event_key].append(Outcome(run.pipeline, run.trigger, Fate.RAN, "", run_id))
    for fate in operation.fates:
        if fate.event_key not in known:
            outcomes[fate.event_key].append(Outcome(fate.pipeline, fate.trigger, fate.fate, fate.reason, None))
    return Accepted(new_events, new_runs, outcomes)
