"""What a run does next: the one place where that is decided. Pure: data and `now` in, moves out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from service.model import AttemptState, Checked, GateState, Items, RunState, RunView, Tried, rejection, unit_of
from stages.call import WHOLE
from stages.plan import Plan, PlanGate, PlanStage

# A run adopted this often without finishing a stage, or a stage lost this often, takes its workers down with it.
POISON_LIMIT = 5
# A run that waits for a time is taken so long before it: taking it and reading its past take time.
AHEAD_S = 0.05
ENDED_CHILDREN = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})


@dataclass(slots=True)
class Start:
    """Try `stage`, or one item of it, as its `attempt`-th attempt."""

    stage: str
    attempt: int
    item: int = WHOLE


@dataclass(frozen=True, slots=True)
class Split:
    """Find the items of a mapped stage."""

    stage: str


@dataclass(frozen=True, slots=True)
class Gather:
    """Every item of a mapped stage has its result: make them one."""

    stage: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Collect:
    """The sub-run an attempt waited for has ended: take its result."""

    stage: str
    attempt: int
    item: int = WHOLE


@dataclass(frozen=True, slots=True)
class Skip:
    """Pass over a stage that cannot run, because what it takes was itself skipped."""

    stage: str
    attempt: int
    reason: str


@dataclass(frozen=True, slots=True)
class Check:
    """Find out what the gate says of its source's output."""

    gate: str


@dataclass(frozen=True, slots=True)
class Park:
    """Hold no worker until `until` (None: until somebody decides a gate, or a sub-run ends)."""

    until: datetime | None


@dataclass(frozen=True, slots=True)
class Close:
    """The run is over. `stage` and `reason` say what ended it where it did not succeed."""

    state: RunState
    stage: str = ""
    reason: str = ""


Move = Start | Split | Gather | Collect | Skip | Check | Park | Close


@dataclass(slots=True)
class _Found:
    """What is found while looking through the stages: moves to make, and what is waited for."""

    moves: list[Move] = field(default_factory=list)
    waits: list[datetime | None] = field(default_factory=list)


def decide(plan: Plan, run: RunView, now: datetime) -> Sequence[Move]:
    """All that can be done now. Empty while everything that could be done is being done already."""
    busy = bool(run.checking or run.under_way)
    ending = ended(plan, run, now)
    if ending is not None:
        return () if busy else _close(plan, run, ending, now)
    found, done, under_way = _Found(), run.done, run.under_way
    for stage in plan.order:
        if stage.name not in done and stage.name not in under_way and stage.upstream <= done:
            _consider(plan, run, stage, now, found)
    if found.moves or busy:
        return found.moves
    if found.waits:
        return (Park(_earliest([*found.waits, run.deadline])),)
    return _close(plan, run, Close(RunState.SUCCEEDED), now)


def due_in_s(plan: Plan, run: RunView, now: datetime) -> float:
    """In how many seconds a run that was taken ahead of its time can go on; 0 for any other."""
    moves = decide(plan, run, now)
    until = moves[0].until if len(moves) == 1 and isinstance(moves[0], Park) else None
    left_s = 0.0 if until is None else (until - now).total_seconds()
    return left_s if left_s <= AHEAD_S else 0.0


def ended(plan: Plan, run: RunView, now: datetime) -> Close | None:
    """Why this run starts nothing more, if it does not. Once every stage is done, nothing stops it any more."""
    ending = _ending(plan, run, now)
    if ending is None or all(stage.name in run.done for stage in plan.order):
        return None
    return ending


def _ending(plan: Plan, run: RunView, now: datetime) -> Close | None:
    if run.cancel:
        return Close(RunState.CANCELLED, reason="cancelled on request")
    if run.expired or (run.deadline is not None and now >= run.deadline):
        return Close(RunState.FAILED, reason="the run's time was over")
    if run.adoptions >= POISON_LIMIT:
        return Close(RunState.FAILED, reason=f"adopted {run.adoptions} times without finishing a stage")
    for stage in plan.order if run.troubled else ():
        reason = _hopeless_stage(run, stage, now)
        if reason:
            return Close(RunState.FAILED, stage.name, reason)
    if not run.gates:
        return None
    failed = next((name for name, checked in run.gates.items() if checked.state is GateState.FAILED), None)
    return None if failed is None else Close(RunState.FAILED, failed, _gate_told(failed, run.gates[failed]))


def _gate_told(name: str, checked: Checked) -> str:
    """What a failed gate says, and of whom: a person's reason stands beside who gave it."""
    told = checked.reason
    if checked.rejected_by is not None and told != rejection(checked.rejected_by):
        told = f"{rejection(checked.rejected_by)}: {told}"
    return f"gate {name}: {told}"


def stage_deadline(run: RunView, stage: PlanStage, unit: str) -> datetime | None:
    """When the time of a unit over all its attempts is over, once it has been tried."""
    total_s, began_at = stage.stage.retry.total_s, run.began_at.get(unit)
    return None if total_s is None or began_at is None else began_at + timedelta(seconds=total_s)


def _earliest(waits: Sequence[datetime | None]) -> datetime | None:
    return min((until for until in waits if until is not None), default=None)


def _consider(plan: Plan, run: RunView, stage: PlanStage, now: datetime, found: _Found) -> None:
    """Add what a stage whose inputs are there can do: check its gates, wait, or start."""
    if plan.gates and _held(plan, run, stage, now, found):
        return
    missing = _skipped_input(run, stage) if run.skipped else None
    if missing is not None:
        found.moves.append(Skip(stage.name, _next_attempt(run, stage.name), f"its input {missing} was skipped"))
    elif stage.stage.map is None or _mapped_input_skipped(run, stage):
        _try(run, stage, WHOLE, now, found)
    else:
        _go_on_with_items(run, stage, now, found)


def _held(plan: Plan, run: RunView, stage: PlanStage, now: datetime, found: _Found) -> bool:
    """Whether a gate before the stage holds it; adds the checks to make, and what is waited for."""
    held = False
    for gate in _gates_before(plan, run, stage):
        checked = run.gates.get(gate.name)
        if gate.name in run.checking:
            held = True
        elif not _counts(run, gate, checked):
            found.moves.append(Check(gate.name))
            held = True
        elif checked is not None and checked.state is GateState.WAITING:
            if checked.until is not None and checked.until <= now:
                found.moves.append(Check(gate.name))
            else:
                found.waits.append(checked.until)
            held = True
    return held


def _try(run: RunView, stage: PlanStage, item: int, now: datetime, found: _Found) -> None:
    """Start one unit, or wait until it is due."""
    tried = run.tried.get(unit_of(stage.name, item))
    if tried is not None and tried.state is AttemptState.WAITING:
        if tried.child in ENDED_CHILDREN:
            found.moves.append(Collect(stage.name, tried.attempt, item))
        else:
            found.waits.append(None)
    elif tried is not None and tried.retry_at is not None and tried.retry_at > now:
        found.waits.append(tried.retry_at)
    else:
        found.moves.append(Start(stage.name, 1 if tried is None else tried.attempt + 1, item))


def _go_on_with_items(run: RunView, stage: PlanStage, now: datetime, found: _Found) -> None:
    """Find the items, start as many as may be under way at once, or make one of their results."""
    items, whole = run.items.get(stage.name), run.tried.get(stage.name)
    if whole is not None and whole.retry_at is not None and whole.retry_at > now:
        found.waits.append(whole.retry_at)
    elif items is None:
        found.moves.append(Split(stage.name))
    elif not items.open:
        found.moves.append(Gather(stage.name, _next_attempt(run, stage.name)))
    else:
        _start_items(run, stage, items, now, found)


def _start_items(run: RunView, stage: PlanStage, items: Items, now: datetime, found: _Found) -> None:
    """Start what may be under way at once. An item that failed for good keeps no other from being tried."""
    places = stage.stage.at_once - items.under_way
    for item in items.idle():
        if places <= 0:
            return
        if item in items.troubled and _hopeless(run, stage, item, now):
            continue
        before = len(found.moves)
        _try(run, stage, item, now, found)
        tried = run.tried.get(unit_of(stage.name, item))
        if len(found.moves) > before or (tried is not None and tried.state is AttemptState.WAITING):
            places -= 1


def _next_attempt(run: RunView, unit: str) -> int:
    tried = run.tried.get(unit)
    return 1 if tried is None else tried.attempt + 1


def _skipped_input(run: RunView, stage: PlanStage) -> str | None:
    """An input that was skipped although the stage cannot do without it."""
    needed = (source for parameter, source in stage.inputs.items() if parameter not in stage.optional)
    return next((source for source in needed if source in run.skipped), None)


def _mapped_input_skipped(run: RunView, stage: PlanStage) -> bool:
    """Whether there is no list to work through: the stage is then called once, without."""
    return stage.stage.map is not None and stage.inputs[stage.stage.map] in run.skipped


def _gates_before(plan: Plan, run: RunView, stage: PlanStage) -> Sequence[PlanGate]:
    """The gates on the arrows that lead to `stage`. What a skipped stage did not make is not checked."""
    return [
        gate
        for source in sorted(stage.upstream)
        if source not in run.skipped
        for gate in plan.gates.get((source, stage.name), ())
    ]


def _counts(run: RunView, gate: PlanGate, checked: Checked | None) -> bool:
    """Whether the result on record was found for the artifact that is there now."""
    output = run.tried[gate.src].output
    return checked is not None and output is not None and checked.subject == output.digest


def _close(plan: Plan, run: RunView, ending: Close, now: datetime) -> Sequence[Move]:
    """Clean up where the pipeline says how, and then end the run. A run that never tried anything has left nothing."""
    for hook in _hooks(plan, ending) if run.tried else ():
        if hook.name in run.done or _hopeless(run, hook, WHOLE, now):
            continue
        found = _Found()
        _try(run, hook, WHOLE, now, found)
        return found.moves or (Park(_earliest(found.waits)),)
    return (ending,)


def _hooks(plan: Plan, ending: Close) -> Iterator[PlanStage]:
    wanted = {RunState.CANCELLED: "on_cancel", RunState.FAILED: "on_failure"}.get(ending.state)
    return (hook for when, hook in plan.hooks.items() if when in (wanted, "finally_"))


def _hopeless_stage(run: RunView, stage: PlanStage, now: datetime) -> str:
    """Why a stage will not be tried again, or nothing. A mapped one goes on as long as any item may."""
    items: Items | None = run.items.get(stage.name)
    if items is None or len(items.troubled) < len(items.open):
        return _hopeless(run, stage, WHOLE, now)
    reasons = {item: _hopeless(run, stage, item, now) for item in sorted(items.troubled)}
    if not reasons or not all(reasons.values()):
        return _hopeless(run, stage, WHOLE, now)
    first, reason = next(iter(reasons.items()))
    others = f", and {len(reasons) - 1} other items failed" if len(reasons) > 1 else ""
    return f"item {first}: {reason}{others}"


def _hopeless(run: RunView, stage: PlanStage, item: int, now: datetime) -> str:
    unit = unit_of(stage.name, item)
    tried = run.tried.get(unit)
    if tried is None or tried.state not in (AttemptState.FAILED, AttemptState.LOST):
        return ""
    failures = run.failures.get(unit, 0)
    losses = run.losses.get(unit, 0)
    if tried.state is AttemptState.FAILED and failures and not tried.transient:
        return "a permanent failure"
    if failures >= stage.stage.retry.max_attempts:
        return f"failed {failures} times, its policy allows no more"
    if losses >= POISON_LIMIT:
        return f"its worker was lost {losses} times"
    return _out_of_time(run, stage, unit, tried, now)


def _out_of_time(run: RunView, stage: PlanStage, unit: str, tried: Tried, now: datetime) -> str:
    """Whether its policy's total time is over, or will be before the next try is due."""
    deadline = stage_deadline(run, stage, unit)
    if deadline is None or max(now, tried.retry_at or now) < deadline:
        return ""
    return f"its {stage.stage.retry.total_s:g} s over all attempts are used up"
