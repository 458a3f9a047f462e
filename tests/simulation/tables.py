"""A database in memory: the few tables the core writes, and what each of its writes does to them under which fence.

It answers as the statements in `service/db/sql` do; `tests/db` holds those to the same promises on a real Postgres.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from service.db.accept import Accept, Accepted
from service.db.attempts import PutAttempt
from service.db.claims import Claim
from service.db.daemons import Adopt, Adopted
from service.db.offered import Place, RunRow
from service.db.results import LookUp
from service.db.runs import Blame, MoveRun, Owned, PutGate
from service.db.writer import Operation
from service.errors import RunLost
from service.machine import AHEAD_S
from service.model import AttemptState, GateState, RunState
from triggers.admission import Admission
from triggers.base import Fate, Outcome, RunId
from triggers.coalesce import Gathering
from triggers.errors import PositionMoved

A, R = AttemptState, RunState
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
RESULTS = frozenset({A.SUCCEEDED, A.REUSED, A.SKIPPED})


@dataclass(slots=True)
class Run:
    """A row of `runs`. Times are seconds of the simulated clock."""

    id: int
    row: RunRow
    state: RunState
    owner: int | None
    epoch: int
    queued_s: float
    ready_s: float | None
    adoptions: int = 0
    blamed: bool = False
    cancel: bool = False
    poked: bool = False
    started_s: float | None = None
    events: list[UUID] = field(default_factory=list)
    gathering: Gathering | None = None
    endings: int = 0


@dataclass(slots=True)
class Tables:
    """All rows. `now_s` reads the clock of the database; `epochs` and `leases` are the fences, to be taken away."""

    now_s: Callable[[], float]
    epochs: bool = True
    leases: bool = True
    renewed_s: dict[int, float] = field(default_factory=dict)
    lapsed: set[int] = field(default_factory=set)
    events: dict[UUID, bytes] = field(default_factory=dict)
    fates: dict[Place, Outcome] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    attempts: dict[tuple[int, str, int, int], PutAttempt] = field(default_factory=dict)
    written_s: dict[tuple[int, str, int, int], float] = field(default_factory=dict)
    gates: dict[tuple[int, str], PutGate] = field(default_factory=dict)
    positions: dict[tuple[str, str], str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def tell(self, what: str) -> None:
        """For whoever wants to see how it came about."""
        self.told.append(f"{self.now_s():9.4f} {what}")

    def register(self) -> int:
        """A process has a lease."""
        lease = len(self.renewed_s) + 1
        self.renewed_s[lease] = self.now_s()
        self.tell(f"lease {lease} is given")
        return lease

    def renew(self, lease: int) -> bool:
        """Whether it still had one."""
        if lease in self.lapsed and self.leases:
            return False
        self.renewed_s[lease] = self.now_s()
        return True

    def write(self, lease: int, lease_s: float, units: Sequence[Sequence[Operation]]) -> list[list[Any]]:
        """One transaction: class by class, as the writer does it."""
        answers: list[list[Any]] = [[None] * len(unit) for unit in units]
        told = [(row, column, one) for row, unit in enumerate(units) for column, one in enumerate(unit)]
        for row, column, one in sorted(told, key=lambda each: each[2].order):
            answers[row][column] = self._apply(lease, lease_s, one)
            self.tell(f"lease {lease}: {_words(one, answers[row][column])}")
        return answers

    def _apply(self, lease: int, lease_s: float, one: Operation) -> Any:
        match one:
            case Accept():
                one.take_places()
                return self._accept(lease, one)
            case PutAttempt():
                return self._put(one)
            case MoveRun():
                return self._move(one)
            case PutGate():
                return self._gate(one)
            case Blame():
                return self._blame(one)
            case Claim():
                one.take_places()
                return self._claim(lease, one)
            case Adopt():
                return self._adopt(lease, lease_s)
            case Owned():
                return [self._claimed(run) for run in self.runs.values() if run.owner == lease]
            case LookUp():
                return {}
        raise TypeError(f"the simulation does not know {type(one).__name__}")

    def mine(self, run_id: int, epoch: int) -> Run | None:
        """The run, for its owner."""
        run = self.runs[run_id]
        return run if run.state is R.RUNNING and (run.epoch == epoch or not self.epochs) else None

    def _put(self, one: PutAttempt) -> bool | RunLost:
        if one.dropped:
            return False
        run, before = self.mine(one.run_id, one.epoch), self.attempts.get(one.place)
        if run is None or (before is not None and before.epoch != one.epoch and before.state is not A.WAITING):
            return RunLost(f"run {one.run_id} was adopted")
        self.attempts[one.place], self.written_s[one.place] = copy.copy(one), self.now_s()
        return run.cancel

    def _move(self, one: MoveRun) -> RunLost | None:
        run = self.mine(one.run_id, one.epoch)
        if run is None:
            return RunLost(f"run {one.run_id} was adopted")
        run.state, run.owner, run.ready_s = one.state, None, None
        if one.state is not R.WAITING:
            run.endings += 1
        elif run.poked or run.cancel:
            run.ready_s = self.now_s()
        elif one.ready_in_s is not None:
            run.ready_s = self.now_s() + one.ready_in_s
        run.poked = False
        return None

    def _gate(self, one: PutGate) -> RunLost | None:
        if self.mine(one.run_id, one.epoch) is None:
            return RunLost(f"run {one.run_id} was adopted")
        before = self.gates.get((one.run_id, one.gate))
        if before is None or before.subject != one.subject or before.state is GateState.WAITING is not one.state:
            self.gates[one.run_id, one.gate] = one
        return None

    def _blame(self, one: Blame) -> RunLost | None:
        run = self.mine(one.run_id, one.epoch)
        if run is None:
            return RunLost(f"run {one.run_id} was adopted")
        run.blamed = True
        return None

    def _claim(self, lease: int, one: Claim) -> tuple[list[Mapping[str, Any]], float | None]:
        now_s = self.now_s()
        known = (run for run in self.runs.values() if run.row.pipeline in one.versions and run.ready_s is not None)
        waiting = sorted(known, key=lambda run: (run.ready_s, run.id))
        due_s = {run.id: (run.ready_s or 0.0) - (AHEAD_S if run.epoch else 0.0) for run in waiting}
        ready = [run for run in waiting if due_s[run.id] <= now_s]
        for run in ready[: one.limit]:
            run.state, run.owner, run.epoch, run.ready_s = R.RUNNING, lease, run.epoch + 1, None
            run.poked = run.blamed = False
            run.started_s = now_s if run.started_s is None else run.started_s
            for place, attempt in self.attempts.items():
                if place[0] == run.id and attempt.state is A.RUNNING:
                    attempt.state = A.LOST
        later = [one - now_s for one in due_s.values() if one > now_s]
        next_s = 0.0 if len(ready) > one.limit else min(later, default=None)
        return [self._claimed(run) for run in ready[: one.limit]], next_s

    def _claimed(self, run: Run) -> Mapping[str, Any]:
        return {
            "id": run.id,
            "pipeline": run.row.pipeline,
            "epoch": run.epoch,
            "resume_epoch": 0,
            "adoptions": run.adoptions,
            "event_key": run.row.event_key,
            "params": run.row.params,
            "depth": 0,
            "timed_s": self.now_s() - (run.started_s or self.now_s()),
            "cancel": run.cancel,
            "gathered": len(run.events),
            "envelope": self.events[run.row.event_key],
        }

    def _adopt(self, lease: int, lease_s: float) -> Adopted:
        """Those whose lease has lapsed lose their runs; what was begun for one counts against it."""
        dead = {
            one
            for one, renewed_s in self.renewed_s.items()
            if one != lease and one not in self.lapsed and renewed_s < self.now_s() - lease_s
        }
        self.lapsed |= dead
        lost = [run for run in self.runs.values() if run.owner in dead]
        for run in lost:
            run.state, run.owner, run.ready_s = R.QUEUED, None, run.queued_s
            finished = any(
                place[0] == run.id and attempt.epoch == run.epoch and attempt.state in RESULTS
                for place, attempt in self.attempts.items()
            )
            run.adoptions = 1 if finished else run.adoptions + (run.blamed or run.adoptions == 0)
        others = (renewed_s for one, renewed_s in self.renewed_s.items() if one != lease and one not in self.lapsed)
        return Adopted(len(lost), min((renewed_s + lease_s - self.now_s() for renewed_s in others), default=None))

    def _accept(self, lease: int, one: Accept) -> Accepted | PositionMoved:
        for position in one.positions:
            if (
                position.expect is not None
                and self.positions.get((position.scope, position.key), "") != position.expect
            ):
                return PositionMoved(f"{position.key} no longer stands at {position.expect}")
        for position in one.positions:
            self.positions[position.scope, position.key] = position.value
        new = [row for row in one.events if row.key not in self.events]
        self.events |= {row.key: row.envelope for row in new}
        started = {row.place: self._start(lease, row) for row in one.runs if row.place not in self.fates}
        outcomes: dict[Any, list[Outcome]] = {row.key: [] for row in one.events}
        for place, outcome in self.fates.items():
            if place[0] in outcomes:
                outcomes[place[0]].append(outcome)
        new_runs = {place: run for place, run in started.items() if run is not None}
        return Accepted(frozenset(row.key for row in new), new_runs, outcomes)

    def _start(self, lease: int, row: RunRow) -> RunId | None:
        """Start a run, or let the event join one that gathers."""
        run_id, now_s = RunId(len(self.runs) + 1), self.now_s()
        gathering: Gathering | None = None
        if row.terms is not None and row.terms.coalesce is not None:
            admission = self._gathering(row)
            admitted = admission.take((row.pipeline, row.trigger), row.terms, run_id, instant(now_s))
            assert admitted.run is not None
            gathering = admission.runs[admitted.run]
            if not admitted.opens:
                self._join(self.runs[admitted.run], row, gathering)
                return None
        run = Run(run_id, row, R.QUEUED, None, 0, now_s, now_s, events=[row.event_key], gathering=gathering)
        if gathering is not None:
            run.ready_s = seconds_of(gathering.due_at)
        if row.take:
            run.state, run.owner, run.epoch, run.ready_s, run.started_s = R.RUNNING, lease, 1, None, now_s
        self.runs[run_id] = run
        self.fates[row.place] = Outcome(row.pipeline, row.trigger, Fate.RAN, "", run_id)
        return run_id

    def _gathering(self, row: RunRow) -> Admission[RunId]:
        """The run that takes events of this key, if there is one that has not started."""
        assert row.terms is not None
        found = Admission[RunId]()
        for run in self.runs.values():
            terms = run.row.terms
            if run.gathering is None or run.gathering.full or terms is None or run.epoch or run.state is not R.QUEUED:
                continue
            if (run.row.pipeline, run.row.trigger, terms.gather_key) == (
                row.pipeline,
                row.trigger,
                row.terms.gather_key,
            ):
                found.gathering[(row.pipeline, row.trigger), terms.gather_key] = (RunId(run.id), run.gathering)
        return found

    def _join(self, run: Run, row: RunRow, gathering: Gathering) -> None:
        run.gathering, run.ready_s = gathering, seconds_of(gathering.due_at)
        run.events.append(row.event_key)
        self.fates[row.place] = Outcome(row.pipeline, row.trigger, Fate.COALESCED, "", RunId(run.id))

    def progress(self, run_id: int) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
        """The attempts and gates of a run, as `Reads.progress` gives them."""
        attempts = [self._attempt(place, one) for place, one in sorted(self.attempts.items()) if place[0] == run_id]
        gates = [
            {"gate": name, "state": one.state, "reason": one.reason, "subject": one.subject}
            | {"expires_in_s": None, "rejected_by": None}
            for (of, name), one in self.gates.items()
            if of == run_id
        ]
        return attempts, gates

    def _attempt(self, place: tuple[int, str, int, int], one: PutAttempt) -> Mapping[str, Any]:
        written_s, output = self.written_s[place], one.output
        return {
            "epoch": one.epoch,
            "stage": one.stage,
            "item": one.item,
            "attempt": one.attempt,
            "state": one.state,
            "transient": one.transient,
            "key": None if one.key is None else UUID(one.key),
            "void": None,
            "output_digest": output.digest if output else None,
            "output_codec": output.codec if output else None,
            "output_size": output.size_bytes if output else None,
            "output_inline": output.inline if output else None,
            "metrics": orjson.dumps(one.metrics),
            "child_run": None,
            "child_state": None,
            "version": one.version,
            "finished_at": instant(written_s),
            "started_ago_s": self.now_s() - written_s,
            "retry_in_s": None if one.retry_in_s is None else written_s + one.retry_in_s - self.now_s(),
        }


def _words(one: Operation, answer: Any) -> str:
    known = ("run_id", "epoch", "stage", "item", "attempt", "gate", "state")
    told = [f"{name}={getattr(one, name)}" for name in known if hasattr(one, name)]
    return " ".join([type(one).__name__, *told, *(["lost"] if isinstance(answer, RunLost) else [])])


def instant(seconds: float) -> datetime:
    """The simulated clock as a date."""
    return BEGINNING + timedelta(seconds=seconds)


def seconds_of(at: datetime) -> float:
    """A date as the simulated clock reads it."""
    return (at - BEGINNING).total_seconds()
