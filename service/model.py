"""The states of runs, attempts and gates, every legal move between them, and a run as the executor holds it."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from stages.artifacts import ArtifactRef
from stages.call import WHOLE
from stages.gates.base import GateState
from stages.plan import StageKey


class RunState(enum.StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(enum.StrEnum):
    """Where one try of a stage stands. A waiting one waits for a sub-run."""

    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"
    REUSED = "reused"
    SKIPPED = "skipped"


__all__ = ["AttemptState", "Checked", "GateState", "Items", "RunState", "RunView", "Tried", "unit_of"]

R, A, G = RunState, AttemptState, GateState
# Finding a member in its class takes as long as the rest of what is done with it.
RUNNING, SUCCEEDED, SKIPPED = A.RUNNING, A.SUCCEEDED, A.SKIPPED
TROUBLE = frozenset({A.FAILED, A.LOST})

RUN_MOVES: Mapping[RunState, frozenset[RunState]] = {
    R.QUEUED: frozenset({R.RUNNING, R.CANCELLED, R.FAILED}),
    R.RUNNING: frozenset({R.WAITING, R.QUEUED, R.SUCCEEDED, R.FAILED, R.CANCELLED}),
    R.WAITING: frozenset({R.RUNNING, R.CANCELLED}),
    R.SUCCEEDED: frozenset(),
    R.FAILED: frozenset({R.QUEUED}),
    R.CANCELLED: frozenset({R.QUEUED}),
}
ATTEMPT_MOVES: Mapping[AttemptState, frozenset[AttemptState]] = {
    A.RUNNING: frozenset({A.WAITING, A.SUCCEEDED, A.FAILED, A.LOST, A.CANCELLED, A.SKIPPED}),
    A.WAITING: frozenset({A.SUCCEEDED, A.FAILED, A.CANCELLED}),
    A.SUCCEEDED: frozenset(),
    A.FAILED: frozenset(),
    A.LOST: frozenset(),
    A.CANCELLED: frozenset(),
    A.REUSED: frozenset(),
    A.SKIPPED: frozenset(),
}
GATE_MOVES: Mapping[GateState, frozenset[GateState]] = {
    G.WAITING: frozenset({G.PASSED, G.FAILED}),
    G.PASSED: frozenset({G.WAITING}),
    G.FAILED: frozenset({G.WAITING, G.PASSED}),
}

FINISHED_RUNS = frozenset(state for state, moves in RUN_MOVES.items() if not moves) | {R.FAILED, R.CANCELLED}
DONE = frozenset({A.SUCCEEDED, A.REUSED, A.SKIPPED})


def unit_of(stage: str, item: int = WHOLE) -> str:
    """What is tried by itself: a stage, or one item of a mapped stage. No stage is called like an item."""
    return stage if item == WHOLE else f"{stage}[{item}]"


def parts_of(unit: str) -> tuple[str, int]:
    """The stage and item of a unit."""
    stage, bracket, item = unit.partition("[")
    return (stage, int(item[:-1])) if bracket else (stage, WHOLE)


@dataclass(slots=True)
class Tried:
    """What the machine must know of a unit's latest attempt. `child` is the state of the sub-run it waits for.

    Nobody changes one; it is not frozen only because making a frozen one takes six times as long.
    """

    attempt: int
    state: AttemptState
    transient: bool = False
    output: ArtifactRef | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    finished_at: datetime | None = None
    retry_at: datetime | None = None
    child_run: int | None = None
    child: RunState | None = None
    key: StageKey | None = None


def rejection(person: str) -> str:
    """What a gate says that a person rejected without a reason."""
    return f"rejected by {person}"


@dataclass(frozen=True, slots=True)
class Checked:
    """A gate's latest result. `subject` is the digest of the artifact it was decided for.

    `until` is when a waiting one fails, if nobody decides it before: it is then to be checked again. `rejected_by` is
    who made a failed one fail, if a person did.
    """

    state: GateState
    subject: str
    reason: str = ""
    until: datetime | None = None
    rejected_by: str | None = None


@dataclass(slots=True)
class Items:
    """The items of a mapped stage: their inputs, in order, and which of them have no result yet.

    `open` keeps their order; `troubled` are those whose latest attempt failed or was lost. Of the open ones `paused`
    have been tried, and nobody is at them now; `untried` have never been. All others are under way.
    """

    inputs: list[ArtifactRef]
    open: dict[int, None]
    troubled: set[int] = field(default_factory=set)
    paused: set[int] = field(default_factory=set)
    untried: dict[int, None] = field(default_factory=dict)

    @property
    def under_way(self) -> int:
        """How many somebody is at."""
        return len(self.open) - len(self.paused) - len(self.untried)

    def idle(self) -> Iterator[int]:
        """Those that nobody is at: the ones that were begun before come first."""
        return chain(sorted(self.paused), self.untried)

    def begun(self, item: int) -> None:
        """Somebody is at it."""
        self.untried.pop(item, None)
        self.paused.discard(item)

    def heard(self, item: int, state: AttemptState) -> None:
        """Take in what became of an attempt."""
        self.begun(item)
        self.troubled.discard(item)
        if state in DONE:
            self.open.pop(item, None)
        elif state is not RUNNING and item in self.open:
            self.paused.add(item)
        if state in TROUBLE:
            self.troubled.add(item)


@dataclass(slots=True)
class RunView:
    """A run as the machine sees it: the latest attempt of each unit, the gates, and what counts against it.

    `done` are the units of `tried` that need no more trying, `skipped` those of them that were skipped: see `put`.
    `checking` names the gates that are being checked at this moment, `under_way` the units being tried (or split, or
    collected), `troubled` those whose latest attempt failed or was lost. `began_at` is when each unit was first tried.
    `expired` and `cancel` end the run; `deadline` is when its own time is over. `stale` holds results that count only
    if they turn out to have the same key; the units in `anew` take nobody's result. `voided` counts the results of a
    unit that were set aside. `older` are the units whose latest attempt another version of the pipeline made.
    """

    tried: dict[str, Tried] = field(default_factory=dict)
    gates: dict[str, Checked] = field(default_factory=dict)
    items: dict[str, Items] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    failures: dict[str, int] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)
    began_at: dict[str, datetime] = field(default_factory=dict)
    checking: set[str] = field(default_factory=set)
    under_way: set[str] = field(default_factory=set)
    troubled: set[str] = field(default_factory=set)
    stale: dict[str, Tried] = field(default_factory=dict)
    anew: set[str] = field(default_factory=set)
    voided: dict[str, int] = field(default_factory=dict)
    older: set[str] = field(default_factory=set)
    adoptions: int = 0
    cancel: bool = False
    expired: bool = False
    deadline: datetime | None = None

    def begin(self, stage: str, item: int, attempt: int, now: datetime) -> None:
        """A unit is being tried."""
        unit = self.take(stage, item)
        self.began_at.setdefault(unit, now)
        self.put(unit, Tried(attempt, RUNNING))

    def take(self, stage: str, item: int) -> str:
        """Somebody is at a unit, which is returned."""
        unit = unit_of(stage, item)
        self.under_way.add(unit)
        if item != WHOLE and stage in self.items:
            self.items[stage].begun(item)
        return unit

    def put(self, unit: str, tried: Tried) -> None:
        """Know of the latest attempt of a unit, and nothing else."""
        self.tried[unit] = tried
        if tried.state in DONE:
            self.done.add(unit)
        elif unit in self.done:
            self.done.remove(unit)
        if tried.state is SKIPPED:
            self.skipped.add(unit)
        elif self.skipped:
            self.skipped.discard(unit)

    def record(self, stage: str, tried: Tried, item: int = WHOLE) -> None:
        """Take in the latest attempt of a unit, and count what speaks against it."""
        unit = unit_of(stage, item)
        self.put(unit, tried)
        if tried.state is RUNNING:
            self.under_way.add(unit)
        else:
            self.under_way.discard(unit)
        if tried.state in TROUBLE:
            counted = self.failures if tried.state is A.FAILED else self.losses
            counted[unit] = counted.get(unit, 0) + 1
            self.troubled.add(unit)
        elif self.troubled:
            self.troubled.discard(unit)
        if tried.state in DONE:
            self.adoptions = 0
        if item != WHOLE and stage in self.items:
            self.items[stage].heard(item, tried.state)
