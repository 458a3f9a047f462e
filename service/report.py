"""The audit record of a run: who, what, when, from which event, which code, data, gates and approvals. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from typing_extensions import TypedDict

from service.diff import PENDING, seconds
from service.model import GateState
from service.reviews import InputShape, event_of, name_of
from service.shapes.answers import ArtifactShape, ErrorShape, EventName
from service.story import Story, StoryAttempt, StoryGate, StoryVote
from stages.artifacts import ArtifactRef


class ReportEvent(EventName):
    """The event that started the run, whole."""

    occurred_at: str
    accepted_at: datetime
    cloudevent: dict[str, Any]


class ReportCode(TypedDict):
    """What a stage is made of, in the version its last attempt was made with."""

    stage: str
    version: str
    code_digest: str | None
    environment: str | None
    environment_digest: str | None
    image: str | None
    runner: str | None


class ReportAttempt(TypedDict):
    """One try, with the version and the code it was made with. `void` says why it counts no longer, if so."""

    item: int
    attempt: int
    state: str
    version: str
    code_digest: str | None
    key: str | None
    void: str | None
    reason: str | None
    started_at: datetime
    finished_at: datetime | None
    duration_s: float | None
    transient: bool | None
    error: ErrorShape | None
    output: ArtifactShape | None
    metrics: dict[str, float]
    reused_run: int | None
    child_run: int | None


class ReportStage(TypedDict):
    """A stage: what it was given, every attempt, and what it made."""

    stage: str
    state: str
    inputs: list[InputShape]
    output: ArtifactShape | None
    metrics: dict[str, float]
    attempts: list[ReportAttempt]


class ReportGate(TypedDict):
    """A gate: what was found, for which artifact, by whom or what."""

    gate: str
    source: str
    target: str
    check: str | None
    state: str
    reason: str
    evidence: dict[str, Any]
    subject: str | None
    decided_by: str | None
    decided_at: datetime | None


class ReportApproval(TypedDict):
    """A person's vote at a gate. `role` is the name or group that let them, null where anybody may."""

    gate: str
    decision: str
    by: str
    role: str | None
    at: datetime
    reason: str
    subject: str
    event: str | None


class ReportAction(TypedDict):
    """What a person did to the run."""

    at: datetime
    action: str
    by: str
    detail: dict[str, Any]


class ReportRelative(TypedDict):
    """A run this one caused: by an event of its stage, or as a sub-run that it waits for."""

    run: int
    pipeline: str
    state: str
    stage: str | None
    waited_for: bool


class ReportModel(TypedDict):
    """A model version the run registered."""

    model: str
    version: int
    state: str
    aliases: list[str]
    artifacts: dict[str, str]
    metrics: dict[str, float]
    lineage: dict[str, str]
    created_at: datetime


class Report(TypedDict):
    """Everything on record of a run. `ended_by` is the person who ended it, if one did."""

    run: int
    pipeline: str
    version: str
    state: str
    trigger: str
    tags: list[str]
    generated_at: datetime
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    due_at: datetime | None
    late_at: datetime | None
    failure: dict[str, Any] | None
    asked_by: str | None
    ended_by: str | None
    abandoned: ReportAction | None
    event: ReportEvent
    shared: list[ReportEvent]
    params: dict[str, Any]
    code: list[ReportCode]
    stages: list[ReportStage]
    gates: list[ReportGate]
    approvals: list[ReportApproval]
    actions: list[ReportAction]
    cause_run: int | None
    cause_stage: str | None
    parent_run: int | None
    caused: list[ReportRelative]
    models: list[ReportModel]


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What a run led to outside of itself."""

    caused: Sequence[ReportRelative] = ()
    models: Sequence[ReportModel] = ()


def report(run: Story, around: Around, now: datetime) -> Report:
    """The record as it stands `now`."""
    data = run.event.get("data")
    return {
        "run": run.id,
        "pipeline": run.pipeline,
        "version": run.version,
        "state": run.state,
        "trigger": run.trigger,
        "tags": list(run.tags),
        "generated_at": now,
        "queued_at": run.queued_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_s": seconds(run.started_at, run.finished_at or now),
        "due_at": run.due_at,
        "late_at": run.late_at,
        "failure": dict(run.failure) if run.failure else None,
        "asked_by": str(data["by"]) if isinstance(data, Mapping) and data.get("by") else None,
        "ended_by": run.cancelled_by,
        "abandoned": _abandoned(run),
        "event": _event(event_of(run), run.event, run.accepted_at),
        "shared": [_event(name_of(one.key, one.cloudevent), one.cloudevent, one.accepted_at) for one in run.shared],
        "params": dict(run.params),
        "code": [_code(run, name) for name in run.stage_names],
        "stages": [_stage(run, name) for name in run.stage_names],
        "gates": _gates(run),
        "approvals": [_approval(vote) for vote in run.votes],
        "actions": [{"at": x.at, "action": x.action, "by": x.by, "detail": dict(x.detail)} for x in run.actions],
        "cause_run": run.cause_run,
        "cause_stage": run.cause_stage,
        "parent_run": run.parent_run,
        "caused": list(around.caused),
        "models": list(around.models),
    }


def _event(name: EventName, cloudevent: Mapping[str, Any], accepted_at: datetime) -> ReportEvent:
    occurred_at = str(cloudevent.get("time", ""))
    return {**name, "occurred_at": occurred_at, "accepted_at": accepted_at, "cloudevent": dict(cloudevent)}


def _abandoned(run: Story) -> ReportAction | None:
    if run.abandoned_at is None:
        return None
    detail = {"reason": run.abandon_reason}
    return {"at": run.abandoned_at, "action": "abandoned", "by": run.abandoned_by or "", "detail": detail}


def _code(run: Story, name: str) -> ReportCode:
    told, last = run.definition(name) or {}, run.last(name)
    return {
        "stage": name,
        "version": last.version if last is not None else run.version,
        "code_digest": told.get("code_digest"),
        "environment": told.get("environment"),
        "environment_digest": told.get("environment_digest"),
        "image": told.get("image"),
        "runner": told.get("runner"),
    }


def _stage(run: Story, name: str) -> ReportStage:
    told, last = run.definition(name) or {"inputs": ()}, run.last(name)
    inputs: Iterator[InputShape] = (
        {"stage": one, "digest": made.digest, "codec": made.codec, "size_bytes": made.size_bytes}
        for one in told["inputs"]
        if (made := run.output(one)) is not None
    )
    return {
        "stage": name,
        "state": last.state if last is not None else PENDING,
        "inputs": list(inputs),
        "output": _artifact(run.output(name)),
        "metrics": dict(last.metrics) if last is not None else {},
        "attempts": [_attempt(run, tried) for tried in run.tries(name)],
    }


def _attempt(run: Story, tried: StoryAttempt) -> ReportAttempt:
    error, told = tried.error, run.definition_at(tried.stage, tried.version) or {}
    return {
        "item": tried.item,
        "attempt": tried.attempt,
        "state": tried.state,
        "version": tried.version,
        "code_digest": told.get("code_digest"),
        "key": tried.key,
        "void": tried.void,
        "reason": tried.reason,
        "started_at": tried.started_at,
        "finished_at": tried.finished_at,
        "duration_s": seconds(tried.started_at, tried.finished_at),
        "transient": tried.transient,
        "error": {name: error[name] for name in ("type", "message", "traceback")} if error else None,  # type: ignore[typeddict-item]
        "output": _artifact(tried.output),
        "metrics": dict(tried.metrics),
        "reused_run": tried.reused_run,
        "child_run": tried.child_run,
    }


def _artifact(ref: ArtifactRef | None) -> ArtifactShape | None:
    return None if ref is None else {"digest": ref.digest, "codec": ref.codec, "size_bytes": ref.size_bytes}


def _gates(run: Story) -> list[ReportGate]:
    """Those of the definition in its order, and any that it does not know."""
    found = {gate.name: gate for gate in run.gates}
    declared = {one["name"]: one for one in run.definitions.get(run.version, {}).get("gates", ())}
    return [_gate(found.get(name), declared.get(name, {})) for name in dict.fromkeys([*declared, *found])]


def _gate(found: StoryGate | None, declared: Mapping[str, Any]) -> ReportGate:
    decided = found if found is not None and found.state != GateState.WAITING else None
    return {
        "gate": found.name if found else declared["name"],
        "source": found.source if found else declared["source"],
        "target": found.target if found else declared["target"],
        "check": declared.get("check"),
        "state": found.state if found else PENDING,
        "reason": found.reason if found else "",
        "evidence": dict(found.evidence) if found else {},
        "subject": found.subject if found else None,
        "decided_by": decided.decided_by if decided else None,
        "decided_at": decided.decided_at if decided else None,
    }


def _approval(vote: StoryVote) -> ReportApproval:
    return {
        "gate": vote.gate,
        "decision": vote.decision,
        "by": vote.by,
        "role": vote.role,
        "at": vote.at,
        "reason": vote.reason,
        "subject": vote.subject,
        "event": vote.event,
    }
