"""What is different between two runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from typing_extensions import TypedDict

from service.explain import differing
from service.story import Story, StoryAttempt, StoryGate
from triggers.event import event_key, events_key

PENDING = "pending"
MOST_EVENT_DIFFERENCES = 50


class Side(TypedDict):
    """One of the two runs."""

    run: int
    pipeline: str
    version: str
    trigger: str
    state: str
    queued_at: datetime
    duration_s: float | None


class Difference(TypedDict):
    """A named thing that is not the same; null stands for what one of them does not have."""

    name: str
    a: Any
    b: Any


class MetricDifference(Difference):
    """`change` is b less a, where both measured it."""

    change: float | None


class StageDifference(TypedDict):
    """A stage on both sides. `code` and `environment`: whether they are the same (null: not known of both).

    `output` tells the digests, `same_output` whether both made the same.
    """

    stage: str
    state: Difference
    result: Difference
    code: bool | None
    environment: bool | None
    inputs: list[Difference]
    output: Difference
    same_output: bool | None
    metrics: list[MetricDifference]
    duration_s: MetricDifference


class GateDifference(TypedDict):
    """A gate on both sides; `same` where state, reason and evidence are."""

    gate: str
    same: bool
    state: Difference
    reason: Difference
    evidence: list[Difference]
    decided_by: Difference


class RunDiff(TypedDict):
    """Two runs, side by side: only what differs is listed, except of stages and gates, which are all there."""

    a: Side
    b: Side
    params: list[Difference]
    event: list[Difference]
    code: list[str]
    stages: list[StageDifference]
    gates: list[GateDifference]


def diff(a: Story, b: Story) -> RunDiff:
    """Everything that can be compared of two runs, of one pipeline or of two."""
    names = list(dict.fromkeys([*b.stage_names, *a.stage_names]))
    stages = [_stage(a, b, name) for name in names]
    return {
        "a": _side(a),
        "b": _side(b),
        "params": [{"name": name, "a": old, "b": new} for name, old, new in differing(a.params, b.params)],
        "event": _event(a, b),
        "code": [one["stage"] for one in stages if one["code"] is False or one["environment"] is False],
        "stages": stages,
        "gates": _gates(a, b),
    }


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    """How long something took, None where it did not begin or end."""
    return None if start is None or end is None else round(max((end - start).total_seconds(), 0.0), 6)


def _side(run: Story) -> Side:
    return {
        "run": run.id,
        "pipeline": run.pipeline,
        "version": run.version,
        "trigger": run.trigger,
        "state": run.state,
        "queued_at": run.queued_at,
        "duration_s": seconds(run.started_at, run.finished_at),
    }


def _event(a: Story, b: Story) -> list[Difference]:
    found = differing(dict(_events(a)), dict(_events(b)))
    told: list[Difference] = [{"name": name, "a": old, "b": new} for name, old, new in found]
    return told[:MOST_EVENT_DIFFERENCES]


def _events(run: Story) -> Iterator[tuple[str, Any]]:
    """The event, and of those that share its run how many there are and which: of a replay, those that it carries."""
    if run.carried:
        yield from _flat(run.carried[0])
        yield "shared", len(run.carried) - 1
        yield "shared_key", str(events_key([event_key(one["source"], one["id"]) for one in run.carried]))
        return
    yield from _flat(run.event)
    if run.shared:
        yield "shared", len(run.shared)
        yield "shared_key", run.events_key


def _flat(value: Mapping[str, Any], below: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a nested document by its path."""
    for name, one in value.items():
        if isinstance(one, Mapping) and one:
            yield from _flat(one, f"{below}{name}.")
        else:
            yield f"{below}{name}", one


def _stage(a: Story, b: Story, name: str) -> StageDifference:
    left, right = a.last(name), b.last(name)
    outputs = (a.output(name), b.output(name))
    digests = [output.digest if output is not None else None for output in outputs]
    known = None if None in digests else digests[0] == digests[1]
    return {
        "stage": name,
        "state": _pair("state", _state(left), _state(right)),
        "result": _pair("result", _result(left), _result(right)),
        "code": _same(a, b, name, "code_digest"),
        "environment": _same(a, b, name, "environment_digest"),
        "inputs": _inputs(a, b, name),
        "output": _pair("output", *digests),
        "same_output": known,
        "metrics": _metrics(left, right),
        "duration_s": _measured("duration_s", _took(left), _took(right)),
    }


def _pair(name: str, a: Any, b: Any) -> Difference:
    return {"name": name, "a": a, "b": b}


def _state(last: StoryAttempt | None) -> str:
    return PENDING if last is None else last.state


def _result(last: StoryAttempt | None) -> str | None:
    """Where a result came from."""
    if last is None or not last.made:
        return None
    return f"reused from run {last.reused_run}" if last.reused_run is not None else "computed"


def _took(last: StoryAttempt | None) -> float | None:
    return None if last is None else seconds(last.started_at, last.finished_at)


def _same(a: Story, b: Story, stage: str, name: str) -> bool | None:
    left, right = a.definition(stage), b.definition(stage)
    if left is None or right is None or name not in left or name not in right:
        return None
    return bool(left[name] == right[name])


def _inputs(a: Story, b: Story, stage: str) -> list[Difference]:
    taken = {one for told in (a.definition(stage), b.definition(stage)) if told for one in told["inputs"]}
    found = []
    for name in sorted(taken):
        left, right = a.output(name), b.output(name)
        digests = (left.digest if left else None, right.digest if right else None)
        if digests[0] != digests[1]:
            found.append(_pair(name, *digests))
    return found


def _metrics(a: StoryAttempt | None, b: StoryAttempt | None) -> list[MetricDifference]:
    before, after = a.metrics if a is not None else {}, b.metrics if b is not None else {}
    return [_measured(name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys())]


def _measured(name: str, a: float | None, b: float | None) -> MetricDifference:
    return {"name": name, "a": a, "b": b, "change": None if a is None or b is None else b - a}


def _gates(a: Story, b: Story) -> list[GateDifference]:
    left, right = ({gate.name: gate for gate in run.gates} for run in (a, b))
    return [_gate(name, left.get(name), right.get(name)) for name in dict.fromkeys([*right, *left])]


def _gate(name: str, a: StoryGate | None, b: StoryGate | None) -> GateDifference:
    evidence = differing(a.evidence if a else {}, b.evidence if b else {})
    told = [_pair(one, old, new) for one, old, new in evidence]
    state = _pair("state", a.state if a else PENDING, b.state if b else PENDING)
    reason = _pair("reason", a.reason if a else "", b.reason if b else "")
    return {
        "gate": name,
        "same": not told and state["a"] == state["b"] and reason["a"] == reason["b"],
        "state": state,
        "reason": reason,
        "evidence": told,
        "decided_by": _pair("decided_by", a.decided_by if a else None, b.decided_by if b else None),
    }
