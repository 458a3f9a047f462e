"""What resuming a run would do, stage by stage, before it is done. Pure: a run as it stands in, a plan out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from service.errors import Invalid
from service.loops.fanout import made, unlike
from service.loops.live import LiveRun
from service.model import AttemptState, GateState
from stages.gates.base import FunctionGate
from stages.plan import PlanGate, PlanStage
from stages.problems import nearest

Action = Literal["keep", "again", "run", "skip"]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What becomes of a stage: its result is kept, made again, it is run for the first time, or passed over."""

    stage: str
    action: Action
    why: str


@dataclass(frozen=True, slots=True)
class GatePlan:
    """A gate that is checked anew, on the arrow to `target`. `passed`: it had passed, as it was declared then."""

    gate: str
    target: str
    passed: bool
    why: str


@dataclass(frozen=True, slots=True)
class Before:
    """What the run was made with until now: its version, its parameters, the code digest of each stage, and how each
    gate was declared (source, target, digest).
    """

    version: str
    params: Mapping[str, Any]
    code: Mapping[str, str]
    gates: Mapping[str, tuple[str, str, str | None]] = field(default_factory=dict)


@dataclass(slots=True)
class Resumption:
    """The plan. `stale` results count again if they turn out to be what would be made; `forced` ones do not.

    `items` are those of unfinished mapped stages whose results are stale, `gates` those to be checked anew.
    """

    stages: list[StagePlan] = field(default_factory=list)
    items: dict[str, list[int]] = field(default_factory=dict)
    gates: list[GatePlan] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    forced: list[str] = field(default_factory=list)


def plan_resumption(run: LiveRun, before: Before, *, since: str | None = None) -> Resumption:
    """What resuming `run`, with the parameters and the pipeline it has now, makes again; `since`: from that stage on.

    Raises `Invalid` for a stage there is not.
    """
    forced = _from(run, since)
    found = Resumption()
    for stage in run.plan.order:
        done, items = stage.name in run.view.done, made(run, stage.name) if stage.stage.map else []
        if stage.name in forced and (done or items):
            found.forced.append(stage.name)
            why = "asked for" if stage.name == since else f"it needs {since}"
            found.stages.append(StagePlan(stage.name, "again", why if done else f"{why}, its {_items(items)} too"))
        elif not done:
            of_items = _of_items(run, stage, before, items, found) if items else ""
            found.stages.append(StagePlan(stage.name, "run", "it is not finished" + (of_items and f", {of_items}")))
        elif why := _why_again(run, stage, before, found.stale):
            found.stale.append(stage.name)
            found.stages.append(StagePlan(stage.name, "again", why))
        else:
            found.stages.append(StagePlan(stage.name, "keep", "finished, and nothing it is made of has changed"))
    found.gates = _gates(run, before, {one.stage for one in found.stages if one.action == "keep"})
    return found


def unfinished_lists(run: LiveRun, since: str | None = None) -> list[PlanStage]:
    """The mapped stages of which some items have a result: their lists must be in the run's view for a true plan."""
    remade = frozenset() if since is None else run.plan.below(since)
    return [
        stage
        for stage in run.plan.order
        if stage.stage.map is not None
        and stage.name not in remade
        and stage.name not in run.view.done
        and stage.inputs[stage.stage.map] in run.view.done
        and made(run, stage.name)
    ]


def _of_items(run: LiveRun, stage: PlanStage, before: Before, items: list[int], found: Resumption) -> str:
    """What becomes of the items that have a result, of a mapped stage that is not finished."""
    made_anew = sorted(stage.upstream.intersection(found.stale))
    if made_anew or stage.name not in run.view.items:
        found.stale.append(stage.name)
        if made_anew:
            return f"{' and '.join(made_anew)} may come out otherwise: its {_items(items)} kept where not"
        return f"its list cannot be read now: its {_items(items)} kept where their keys hold"
    outdated = unlike(run, stage)
    if not outdated:
        return f"its {_items(items)} kept"
    found.items[stage.name] = outdated
    kept = f", {len(items) - len(outdated)} kept" if len(outdated) < len(items) else ""
    return f"of its {_items(items)} {len(outdated)} made again{kept}: {_changed(run, stage, before)}"


def _items(items: list[int]) -> str:
    return f"{len(items)} finished item{'s' if len(items) != 1 else ''}"


def passing_over(planned: Resumption, stage: str, why: str) -> Resumption:
    """The same, but that `stage`, which has no result, is passed over."""
    stages = [StagePlan(stage, "skip", why) if one.stage == stage else one for one in planned.stages]
    return replace(planned, stages=stages, gates=[gate for gate in planned.gates if gate.target != stage])


def _gates(run: LiveRun, before: Before, kept: set[str]) -> list[GatePlan]:
    """The gates that let nobody pass yet, or on other terms, before stages that are not kept."""
    found = []
    for gate in (gate for gates in run.plan.gates.values() for gate in gates if gate.dst not in kept):
        checked = run.view.gates.get(gate.name)
        passed = checked is not None and checked.state is GateState.PASSED
        why = _why_anew(run, gate, before) if passed else "it has not passed"
        if checked is not None and why:
            found.append(GatePlan(gate.name, gate.dst, passed, why))
    return found


def _why_anew(run: LiveRun, gate: PlanGate, before: Before) -> str:
    """Why a gate that has passed is checked anew; nothing, where it need not be."""
    if run.pipeline.version != before.version:
        declared = (gate.src, gate.dst, run.pipeline.gate_digests[gate.name])
        if before.gates.get(gate.name) != declared:
            return f"it passed, but was declared otherwise in version {before.version}"
    takes = isinstance(gate.gate, FunctionGate) and gate.gate.takes_params
    names = _amended(before, run) if takes else []
    return f"it passed, but with other parameters: {', '.join(names)}" if names else ""


def _from(run: LiveRun, since: str | None) -> frozenset[str]:
    if since is None:
        return frozenset()
    known = [stage.name for stage in run.plan.order]
    if since not in known:
        raise Invalid(
            f"pipeline {run.pipeline.name} has no stage {since!r}; it has {', '.join(known)}{nearest(since, known)}"
        )
    return run.plan.below(since)


def _why_again(run: LiveRun, stage: PlanStage, before: Before, stale: list[str]) -> str:
    """What has changed of a finished stage; nothing, where its result holds."""
    made_anew = sorted(stage.upstream.intersection(stale))
    if made_anew:
        return f"{' and '.join(made_anew)} may come out otherwise; the result is kept where not"
    tried = run.view.tried[stage.name]
    if tried.key is None or tried.state is AttemptState.SKIPPED or tried.key == run.key_of(stage):
        return ""
    return _changed(run, stage, before)


def _changed(run: LiveRun, stage: PlanStage, before: Before) -> str:
    reasons = []
    if before.code.get(stage.name) not in (None, stage.code_digest):
        reasons.append(f"its code changed since version {before.version}")
    if stage.takes_params:
        names = _amended(before, run)
        reasons += [f"parameters changed: {', '.join(names)}"] if names else []
    return " and ".join(reasons) or "its environment or its inputs changed"


def _amended(before: Before, run: LiveRun) -> list[str]:
    """The names of the parameters that are not what they were."""
    return sorted(name for name in {*before.params, *run.params} if before.params.get(name) != run.params.get(name))


def needing(run_plan: Mapping[str, PlanStage], name: str) -> list[str]:
    """The stages that cannot do without the output of `name`."""
    return sorted(
        stage.name
        for stage in run_plan.values()
        for parameter, source in stage.inputs.items()
        if source == name and parameter not in stage.optional
    )
