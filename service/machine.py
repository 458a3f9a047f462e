"""What a run does next: the one place where that is decided. Pure: data and `now` in, moves out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.model import DONE, AttemptState, Checked, GateState, RunState, RunView, Tried
from stages.plan import Plan, PlanGate, PlanStage

# A run adopted this often without finishing a stage, or a stage lost this often, takes its workers down with it.
POISON_LIMIT = 5


@dataclass(frozen=True, slots=True)
class Start:
    """Try `stage`, as its `attempt`-th attempt."""

    stage: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Check:
    """Find out what the gate says of its source's output."""

    gate: str


@dataclass(frozen=True, slots=True)
class Park:
    """Hold no worker until `until` (None: until somebody decides a gate)."""

    until: datetime | None


@dataclass(frozen=True, slots=True)
class Close:
    """The run is over. `stage` and `reason` say what ended it where it did not succeed."""

    state: RunState
    stage: str = ""
    reason: str = ""


Move = Start | Check | Park | Close


def decide(plan: Plan, run: RunView, now: datetime) -> Sequence[Move]:
    """All that can be done now. Empty while everything that could be done is being done already."""
    busy = bool(run.checking) or any(tried.state is AttemptState.RUNNING for tried in run.tried.values())
    ending = _ending(plan, run)
    if ending is not None:
        return () if busy else (ending,)
    moves: list[Move] = []
    waits: list[datetime | None] = []
    for stage in plan.order:
        tried = run.tried.get(stage.name)
        if tried is not None and (tried.state in DONE or tried.state is AttemptState.RUNNING):
            continue
        if any(not is_done(run, name) for name in stage.upstream):
            continue
        _consider(plan, run, stage, tried, now, moves, waits)
    if moves or busy:
        return moves
    if waits:
        return (Park(min((until for until in waits if until is not None), default=None)),)
    return (Close(RunState.SUCCEEDED),)


def is_done(run: RunView, stage: str) -> bool:
    """Whether the stage has a result."""
    tried = run.tried.get(stage)
    return tried is not None and tried.state in DONE


def _consider(
    plan: Plan,
    run: RunView,
    stage: PlanStage,
    tried: Tried | None,
    now: datetime,
    moves: list[Move],
    waits: list[datetime | None],
) -> None:
    """Add what a stage whose inputs are there can do: check its gates, wait, or start."""
    held = False
    for gate in _gates_before(plan, stage):
        checked = run.gates.get(gate.name)
        if gate.name in run.checking:
            held = True
        elif not _counts(run, gate, checked):
            moves.append(Check(gate.name))
            held = True
        elif checked is not None and checked.state is GateState.WAITING:
            waits.append(None)
            held = True
    if held:
        return
    if tried is not None and tried.retry_at is not None and tried.retry_at > now:
        waits.append(tried.retry_at)
        return
    moves.append(Start(stage.name, 1 if tried is None else tried.attempt + 1))


def _gates_before(plan: Plan, stage: PlanStage) -> Sequence[PlanGate]:
    """The gates on the arrows that lead to `stage`."""
    if not plan.gates:
        return ()
    return [gate for source in sorted(stage.upstream) for gate in plan.gates.get((source, stage.name), ())]


def _counts(run: RunView, gate: PlanGate, checked: Checked | None) -> bool:
    """Whether the result on record was found for the artifact that is there now."""
    output = run.tried[gate.src].output
    return checked is not None and output is not None and checked.subject == output.digest


def _ending(plan: Plan, run: RunView) -> Close | None:
    """Why this run starts nothing more, if it does not."""
    if run.cancel:
        return Close(RunState.CANCELLED, reason="cancelled on request")
    if run.adoptions >= POISON_LIMIT:
        return Close(RunState.FAILED, reason=f"adopted {run.adoptions} times without finishing a stage")
    for stage in plan.order:
        reason = _hopeless(run, stage)
        if reason:
            return Close(RunState.FAILED, stage.name, reason)
        for gate in _gates_before(plan, stage):
            checked = run.gates.get(gate.name)
            if checked is not None and checked.state is GateState.FAILED:
                return Close(RunState.FAILED, gate.name, f"gate {gate.name}: {checked.reason}")
    return None


def _hopeless(run: RunView, stage: PlanStage) -> str:
    """Why a stage will not be tried again, or nothing."""
    tried = run.tried.get(stage.name)
    if tried is None or tried.state in DONE or tried.state is AttemptState.RUNNING:
        return ""
    failures = run.failures.get(stage.name, 0)
    losses = run.losses.get(stage.name, 0)
    if tried.state is AttemptState.FAILED and failures and not tried.transient:
        return "a permanent failure"
    if failures >= stage.stage.retry.max_attempts:
        return f"failed {failures} times, its policy allows no more"
    if losses >= POISON_LIMIT:
        return f"its worker was lost {losses} times"
    return ""
