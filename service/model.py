"""The states of runs, attempts and gates, every legal move between them, and a run as the executor holds it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from stages.artifacts import ArtifactRef
from stages.gates.base import GateState


class RunState(enum.StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(enum.StrEnum):
    """Where one try of a stage stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOST = "lost"
    CANCELLED = "cancelled"
    REUSED = "reused"


__all__ = ["AttemptState", "Checked", "GateState", "RunState", "RunView", "Tried"]

R, A, G = RunState, AttemptState, GateState

RUN_MOVES: Mapping[RunState, frozenset[RunState]] = {
    R.QUEUED: frozenset({R.RUNNING, R.CANCELLED}),
    R.RUNNING: frozenset({R.WAITING, R.QUEUED, R.SUCCEEDED, R.FAILED, R.CANCELLED}),
    R.WAITING: frozenset({R.RUNNING, R.CANCELLED}),
    R.SUCCEEDED: frozenset(),
    R.FAILED: frozenset({R.QUEUED}),
    R.CANCELLED: frozenset({R.QUEUED}),
}
ATTEMPT_MOVES: Mapping[AttemptState, frozenset[AttemptState]] = {
    A.RUNNING: frozenset({A.SUCCEEDED, A.FAILED, A.LOST, A.CANCELLED}),
    A.SUCCEEDED: frozenset(),
    A.FAILED: frozenset(),
    A.LOST: frozenset(),
    A.CANCELLED: frozenset(),
    A.REUSED: frozenset(),
}
GATE_MOVES: Mapping[GateState, frozenset[GateState]] = {
    G.WAITING: frozenset({G.PASSED, G.FAILED}),
    G.PASSED: frozenset({G.WAITING}),
    G.FAILED: frozenset({G.WAITING, G.PASSED}),
}

FINISHED_RUNS = frozenset(state for state, moves in RUN_MOVES.items() if not moves) | {R.FAILED, R.CANCELLED}
DONE = frozenset({A.SUCCEEDED, A.REUSED})


@dataclass(frozen=True, slots=True)
class Tried:
    """What the machine must know of a stage's latest attempt."""

    attempt: int
    state: AttemptState
    transient: bool = False
    output: ArtifactRef | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    finished_at: datetime | None = None
    retry_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A gate's latest result. `subject` is the digest of the artifact it was decided for."""

    state: GateState
    subject: str
    reason: str = ""


@dataclass(slots=True)
class RunView:
    """A run as the machine sees it: the latest attempt of each stage, the gates, and what counts against it.

    `checking` names the gates that are being checked at this moment.
    """

    tried: dict[str, Tried] = field(default_factory=dict)
    gates: dict[str, Checked] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)
    checking: set[str] = field(default_factory=set)
    adoptions: int = 0
    cancel: bool = False

    def record(self, stage: str, tried: Tried) -> None:
        """Take in the latest attempt of a stage, and count what speaks against it."""
        self.tried[stage] = tried
        if tried.state is A.FAILED:
            self.failures[stage] = self.failures.get(stage, 0) + 1
        elif tried.state is A.LOST:
            self.losses[stage] = self.losses.get(stage, 0) + 1
        elif tried.state in DONE:
            self.adoptions = 0
