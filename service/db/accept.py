"""Accepting events: the one statement that makes them, their runs and their fates durable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import orjson

from service.cause import Cause
from service.crowding import Newcomer
from service.db.connect import columns, sql
from service.db.crowd import Crowd
from service.db.entries import held
from service.db.writer import Flush, Operation
from service.limits import UNLIMITED, RunLimits
from triggers.base import Fate, Outcome, Position, RunId
from triggers.errors import PositionMoved
from triggers.event import EventKey

RUN_WIDTH = 18


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
    """A run to be started. With `take` the accepting process drives it at once, without a claim.

    It fails when it has not started within `queue_timeout_s`, and is late after `due_at`. `cleans`: it has stages that
    run at its end, also when it is cancelled. Of one `sequence` it waits for those before it (see `service.db.order`).
    """

    event_key: EventKey
    pipeline: str
    version: str
    trigger: str
    params: bytes
    priority: int
    take: bool
    limits: RunLimits = UNLIMITED
    tags: Sequence[str] = ()
    due_at: datetime | None = None
    queue_timeout_s: float | None = None
    cleans: bool = False
    cause: Cause | None = None
    sequence: str | None = None

    @property
    def place(self) -> tuple[EventKey, str]:
        """What no other run shares."""
        return (self.event_key, self.pipeline)

    @property
    def depth(self) -> int:
        """How many causes lie behind it."""
        return 0 if self.cause is None else self.cause.depth


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
    """What came to be. `dropped` are runs that were not started, and why."""

    events: set[EventKey] = field(default_factory=set)
    runs: dict[tuple[EventKey, str], RunId] = field(default_factory=dict)
    dropped: Mapping[tuple[EventKey, str], str] = field(default_factory=dict)


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
    kept = [(scope, key, value) for (scope, key), value in sorted(free.items()) if value]
    if kept:
        await flush.connection.execute(sql("put_positions"), *columns(kept, 3))
    dropped = sorted(place for place, value in free.items() if not value)
    if dropped:
        await flush.connection.execute(sql("drop_positions"), *columns(dropped, 2))
    return refused


async def _insert(flush: Flush, operations: Sequence[Accept]) -> _Inserted:
    """One row for each event and each run, in the order they were told; of repeats, the first."""
    events = {row.key: row for op in operations for row in op.events}
    if not events:
        return _Inserted()
    runs: dict[tuple[EventKey, str], RunRow] = {}
    for row in (row for op in operations for row in op.runs):
        runs.setdefault(row.place, row)
    fates = {(row.event_key, row.pipeline): row for op in reversed(operations) for row in op.fates}
    crowd = await Crowd.gather(flush, _newcomers(runs.values()))
    kept = [row for place, row in runs.items() if place not in crowd.dropped]
    arguments = [
        *columns([_event_columns(events[key]) for key in sorted(events)], 7),
        *columns([_run_columns(row, flush.daemon) for row in kept], RUN_WIDTH),
        *columns([_fate_columns(fates[key]) for key in sorted(fates) if key not in runs], 5),
    ]
    done = _Inserted()
    for what, key, pipeline, run_id in await flush.connection.fetch(sql("accept"), *arguments):
        if what == "event":
            done.events.add(key)
        elif what == "run":
            done.runs[key, pipeline] = run_id
            _note(flush, runs[key, pipeline], run_id)
    await _hold_in_order(flush, [(run_id, runs[place].sequence) for place, run_id in done.runs.items()])
    triggers = {place: row.trigger for place, row in runs.items()}
    done.dropped = await crowd.settle(flush, done.runs, triggers)
    return done


async def _hold_in_order(flush: Flush, started: Iterable[tuple[RunId, str | None]]) -> None:
    ordered = [(run_id, sequence) for run_id, sequence in started if sequence is not None]
    if ordered:
        await flush.connection.execute(sql("hold_in_order"), *columns(ordered, 2))
        flush.sequences.update(sequence for _, sequence in ordered)


def _newcomers(rows: Iterable[RunRow]) -> Sequence[Newcomer]:
    """Those among the runs whose key other runs of it may forbid."""
    return [
        Newcomer(row.place, (row.pipeline, row.limits.key), row.limits.concurrency)
        for row in rows
        if row.limits.concurrency is not None and row.limits.key is not None
    ]


def _note(flush: Flush, run: RunRow, run_id: RunId) -> None:
    if not run.take:
        flush.wakes.add("")
    move = "running" if run.take else "queued"
    flush.log.append({"run": run_id, "pipeline": run.pipeline, "move": move, **held(run.limits.key, run.limits.pool)})


def _event_columns(row: EventRow) -> tuple[Any, ...]:
    return (row.key, row.source, row.id, row.type, row.subject, row.occurred_at, row.envelope)


def _run_columns(row: RunRow, daemon: int) -> tuple[Any, ...]:
    cause, limits = row.cause, row.limits
    return (
        *(row.event_key, row.pipeline, row.version, row.trigger, row.params, row.priority),
        daemon if row.take else None,
        *(orjson.dumps(list(row.tags)).decode(), row.due_at, row.queue_timeout_s, row.cleans),
        *((cause.run, cause.stage) if cause else (None, None)),
        row.depth,
        *(limits.limited, limits.key, limits.rate_key, limits.pool),
    )


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
    new_runs = {place: rows.runs.pop(place) for place in [row.place for row in operation.runs] if place in rows.runs}
    outcomes: dict[EventKey, list[Outcome]] = {row.key: list(known.get(row.key, ())) for row in operation.events}
    for run in operation.runs:
        run_id = new_runs.get(run.place)
        if run_id is not None and run.event_key not in known:
            outcomes[run.event_key].append(Outcome(run.pipeline, run.trigger, Fate.RAN, "", run_id))
        elif run.place in rows.dropped and run.event_key not in known:
            reason = rows.dropped[run.place]
            outcomes[run.event_key].append(Outcome(run.pipeline, run.trigger, Fate.IGNORED, reason, None))
    for fate in operation.fates:
        if fate.event_key not in known:
            outcomes[fate.event_key].append(Outcome(fate.pipeline, fate.trigger, fate.fate, fate.reason, None))
    return Accepted(new_events, new_runs, outcomes)
