"""Accepting events: the one statement that makes them, their runs and their fates durable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from uuid import UUID

from service.crowding import Newcomer
from service.db.admit import Admittance, admit
from service.db.connect import columns, sql
from service.db.crowd import Crowd
from service.db.entries import held
from service.db.gather import close_full, settle
from service.db.offered import EventRow, FateRow, Place, RunRow, event_columns, fate_columns, run_columns
from service.db.usual import Usual
from service.db.writer import CHANGED, Flush, Operation
from triggers.base import Fate, Outcome, Position, RunId
from triggers.errors import PositionMoved
from triggers.event import EventKey


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the transaction did: which events were new, which runs started, and every event's outcomes."""

    new_events: frozenset[EventKey]
    new_runs: dict[Place, RunId]
    outcomes: dict[EventKey, list[Outcome]]


@dataclass(eq=False, slots=True)
class Accept(Operation):
    """Store events with what they lead to, and move positions, or (a position moved meanwhile) nothing at all.

    `take_places` is called whenever this is about to be written, and marks the runs that this process takes for itself.
    """

    order: ClassVar[int] = 10
    abandonable: ClassVar[bool] = True

    events: Sequence[EventRow]
    runs: Sequence[RunRow]
    fates: Sequence[FateRow]
    positions: Sequence[Position] = ()
    take_places: Callable[[], None] = field(default=lambda: None)
    started: Callable[[dict[Place, RunId]], None] = field(default=lambda runs: None)

    @property
    def weight_bytes(self) -> int:
        """Events are as large as who sends them likes."""
        return sum([len(row.envelope) for row in self.events])

    def committed(self, answer: Any) -> None:
        """Hand the runs this process took for itself to whoever drives them."""
        self.started(answer.new_runs if isinstance(answer, Accepted) else {})

    def refused(self) -> None:
        """Give back the places reserved for runs that will not be."""
        self.started({})

    def usual(self, given: Usual) -> bool:
        """See `Operation`. Nothing is asked of what is there: no place in a sequence, no sharing, no crowd of a key."""
        plain = all(row.plain for row in self.runs) and all(one.expect is not None for one in self.positions)
        if plain:
            self.take_places()
        return plain and given.accept(self.events, self.runs, self.fates, self.positions)

    def answer(self, given: Usual) -> Accepted:
        """See `Operation`: all of it was new."""
        runs = {row.place: given.runs[row.place] for row in self.runs}
        outcomes: dict[EventKey, list[Outcome]] = {row.key: [] for row in self.events}
        for row, run_id in zip(self.runs, runs.values(), strict=True):
            outcomes[row.event_key].append(Outcome(row.pipeline, row.trigger, Fate.RAN, "", run_id))
        for fate in self.fates:
            outcomes[fate.event_key].append(Outcome(fate.pipeline, fate.trigger, fate.fate, fate.reason, None))
        return Accepted(frozenset(outcomes), runs, outcomes)

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Accept]) -> Sequence[Accepted | PositionMoved]:
        """One answer for each operation. A repeat within the flush is a repeat: the first one gets the run."""
        for operation in operations:
            operation.take_places()
        refused = await _move_positions(flush, operations)
        kept = [operation for operation in operations if operation not in refused]
        rows = await _insert(flush, kept)
        if not rows.events <= {key for key, _ in rows.runs}:
            # An event that starts no run is in no log.
            flush.wakes.add(CHANGED)
        known = await _known_outcomes(flush, kept, rows)
        answers = {id(operation): _answer(operation, rows, known) for operation in kept}
        return [refused.get(operation) or answers[id(operation)] for operation in operations]


@dataclass(slots=True)
class _Inserted:
    """What came to be. `others` is what events got that were to start runs, and did not."""

    events: set[EventKey] = field(default_factory=set)
    runs: dict[Place, RunId] = field(default_factory=dict)
    others: dict[Place, Outcome] = field(default_factory=dict)
    starting: Mapping[Place, RunRow] = field(default_factory=dict)


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
    runs: dict[Place, RunRow] = {}
    for row in (row for op in operations for row in op.runs):
        runs.setdefault(row.place, row)
    admitted = await admit(flush, runs)
    starting = admitted.runs
    fates = {(row.event_key, row.pipeline): row for op in reversed(operations) for row in op.fates}
    fates |= {(row.event_key, row.pipeline): row for row in admitted.fates}
    crowd = await Crowd.gather(flush, _newcomers(starting.values()))
    kept = [row for place, row in starting.items() if place not in crowd.dropped]
    refused = {(row.event_key, row.pipeline) for row in admitted.fates}
    arguments = [
        [event_columns(events[key]) for key in sorted(events)],
        [run_columns(row, flush.daemon) for row in kept],
        [fate_columns(fates[key]) for key in sorted(fates) if key not in runs or key in refused],
    ]
    done = _Inserted(starting=starting)
    await close_full(flush, admitted)
    paused = []
    for what, key, pipeline, run_id in await flush.connection.fetch(sql("accept"), *arguments):
        if what == "event":
            done.events.add(key)
        elif what == "run":
            done.runs[key, pipeline] = run_id
            _note(flush, starting[key, pipeline], run_id)
        elif fates[key, pipeline].pause is not None:
            paused.append((key, pipeline, fates[key, pipeline].pause))
    if paused:
        await flush.connection.execute(sql("note_pauses"), *columns(paused, 3))
    await _hold_in_order(flush, [(run_id, starting[place].sequence) for place, run_id in done.runs.items()])
    if not admitted.plain or crowd.newcomers:
        await _settle(flush, done, admitted, crowd)
    return done


async def _hold_in_order(flush: Flush, started: Iterable[tuple[RunId, str | None]]) -> None:
    ordered = [(run_id, sequence) for run_id, sequence in started if sequence is not None]
    if ordered:
        await flush.connection.execute(sql("hold_in_order"), *columns(ordered, 2))
        flush.sequences.update(sequence for _, sequence in ordered)


async def _settle(flush: Flush, done: _Inserted, admitted: Admittance, crowd: Crowd) -> None:
    """Once runs have their ids: who was dropped (with those who joined them), and who shares a run with whom."""
    triggers = {place: row.trigger for place, row in admitted.runs.items()}
    followers = {
        join.row.place: join.run
        for join in admitted.joins
        if not isinstance(join.run, int) and join.run in crowd.dropped
    }
    triggers |= {join.row.place: join.row.trigger for join in admitted.joins}
    dropped = await crowd.settle(flush, done.runs, triggers, followers)
    for place, reason in dropped.items():
        done.others[place] = Outcome(place[1], triggers[place], Fate.IGNORED, reason, None)
    for fate in admitted.fates:
        outcome = Outcome(fate.pipeline, fate.trigger, fate.fate, fate.reason, None)
        done.others[fate.event_key, fate.pipeline] = outcome
    done.others |= await settle(flush, admitted, done.runs, dropped)


def _newcomers(rows: Iterable[RunRow]) -> Sequence[Newcomer]:
    """Those among the runs whose key other runs of it may forbid."""
    return [
        Newcomer(row.place, (row.pipeline, row.limits.key), row.limits.concurrency)
        for row in rows
        if row.limits.concurrency is not None and row.limits.key is not None
    ]


def _note(flush: Flush, run: RunRow, run_id: RunId) -> None:
    if not run.take:
        flush.queued.add(run_id)
    move = "running" if run.take else "queued"
    flush.log.append({"run": run_id, "pipeline": run.pipeline, "move": move, **held(run.limits.key, run.limits.pool)})


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
            outcomes[run.event_key].append(
                Outcome(run.pipeline, rows.starting[run.place].trigger, Fate.RAN, "", run_id)
            )
        elif run.place in rows.others and run.event_key not in known:
            outcomes[run.event_key].append(rows.others[run.place])
    for fate in operation.fates:
        if fate.event_key not in known:
            outcomes[fate.event_key].append(Outcome(fate.pipeline, fate.trigger, fate.fate, fate.reason, None))
    return Accepted(new_events, new_runs, outcomes)
