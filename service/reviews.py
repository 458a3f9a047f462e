"""The review queue: what of a failed run a person must know, and the commands that apply to it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from typing_extensions import TypedDict

from service.model import AttemptState, GateState
from service.shapes.answers import ArtifactShape, ErrorShape, EventName
from service.story import Story, StoryAttempt, StoryGate
from triggers.cloudevents import restore
from triggers.replay import REPLAY_TRIGGER

SHORT_LINES = 8
SHOWN_PARAMS = 6
TROUBLE = frozenset({AttemptState.FAILED, AttemptState.LOST})


class CommandShape(TypedDict):
    """A command that applies, as it is typed, and what it does here."""

    command: str
    says: str


class InputShape(ArtifactShape):
    """What the failed stage was given, by the stage that made it."""

    stage: str


class ReviewShape(TypedDict):
    """A failed run that waits for a person. `kind` says what `name` is: `stage`, `gate`, or `run` (the run itself).

    `attempts` counts the tries of that stage, or of the gate's source; `error` is the last one's, its traceback cut.
    """

    run: int
    pipeline: str
    version: str
    event: EventName
    failed_at: datetime
    kind: str
    name: str
    reason: str
    attempts: int
    transient: bool | None
    error: ErrorShape | None
    evidence: dict[str, Any]
    params: dict[str, Any]
    inputs: list[InputShape]
    commands: list[CommandShape]


class ReviewsPage(TypedDict):
    """Newest first. `open` counts all that wait, `next` goes into `before` for the next page; null on the last one."""

    reviews: list[ReviewShape]
    open: int
    next: int | None


def review(run: Story, loaded: str | None) -> ReviewShape:
    """What a person must know of a failed run. `loaded` is the version of its pipeline that is loaded now, if any."""
    failure = run.failure or {"stage": "", "reason": "no reason is on record"}
    name = str(failure["stage"])
    gate = next((one for one in run.gates if one.name == name and one.state == GateState.FAILED), None)
    stage = gate.source if gate is not None else name
    tries = run.tries(stage)
    error = _error(tries) if gate is None else None
    return {
        "run": run.id,
        "pipeline": run.pipeline,
        "version": run.version,
        "event": event_of(run),
        "failed_at": run.finished_at or run.queued_at,
        "kind": "gate" if gate is not None else "stage" if name in run.stage_names else "run",
        "name": name,
        "reason": str(failure["reason"]),
        "attempts": len(tries),
        "transient": tries[-1].transient if tries and gate is None else None,
        "error": error,
        "evidence": dict(gate.evidence) if gate is not None else {},
        "params": dict(run.params),
        "inputs": [shape for one in _given(run, name, gate) if (shape := _input(run, one)) is not None],
        "commands": [{"command": line, "says": says} for line, says in commands(run, loaded)],
    }


def event_of(run: Story) -> EventName:
    """The identity of the event that started a run."""
    return name_of(run.event_key, run.event)


def name_of(key: str, event: Mapping[str, Any]) -> EventName:
    """The identity of a stored event."""
    return {
        "key": key,
        "source": event["source"],
        "id": event["id"],
        "type": event["type"],
        "subject": event.get("subject"),
    }


def _error(tries: Sequence[StoryAttempt]) -> ErrorShape | None:
    """What the latest of them raised, with the end of its traceback."""
    failed = [tried for tried in tries if tried.state in TROUBLE and tried.error]
    if not failed:
        return None
    error = max(failed, key=lambda tried: (tried.started_at, tried.attempt)).error or {}
    lines = str(error["traceback"]).rstrip().splitlines()
    return {"type": error["type"], "message": error["message"], "traceback": "\n".join(lines[-SHORT_LINES:])}


def _given(run: Story, name: str, gate: StoryGate | None) -> Sequence[str]:
    """The stages whose results the failed stage took, or the gate was asked about."""
    if gate is not None:
        return (gate.source,)
    told = run.definition(name)
    return told["inputs"] if told is not None else ()


def _input(run: Story, stage: str) -> InputShape | None:
    made = run.output(stage)
    if made is None:
        return None
    return {"stage": stage, "digest": made.digest, "codec": made.codec, "size_bytes": made.size_bytes}


def commands(run: Story, loaded: str | None) -> Iterator[tuple[str, str]]:
    """Every command that applies to a failed run, with what it does, the likeliest first."""
    failed = str((run.failure or {}).get("stage", ""))
    gate = next((one for one in run.gates if one.name == failed and one.state == GateState.FAILED), None)
    resume = f"tidemill resume {run.id}"
    if loaded is not None and loaded != run.version:
        resume += " --on latest"
        if run.trigger == REPLAY_TRIGGER:
            same = f"tidemill replay {restore(run.event).key} --pipeline {run.pipeline} --on {run.version} --effects"
            yield same, "make the replay again, on the version it was on"
        yield resume, f"with the code that is loaded now, version {loaded}: what that makes run again is shown first"
    else:
        yield resume, _says_resume(run, failed, gate)
    for source in _given(run, failed, gate):
        yield f"{resume} --from {source}", f"make the result of {source} anew, and all that follows from it"
    if _on_params_or_data(run, failed, gate):
        names = list((run.definitions.get(run.version, {}).get("params") or {}).get("properties", {}))
        yield f"{resume} --with-param NAME=VALUE", f"with another parameter: {', '.join(names[:SHOWN_PARAMS])}"
    skipped = gate.target if gate is not None else failed
    if may_skip(run.definitions.get(run.version, {}), skipped):
        on = "" if loaded in (None, run.version) else " --on latest"
        yield (
            f"tidemill skip {run.id} {skipped}{on} --reason WHY",
            f"go on without {skipped}: nothing after it needs it",
        )
    yield f"tidemill abandon {run.id} --reason WHY", "close this review: the run stays failed"


def _says_resume(run: Story, failed: str, gate: StoryGate | None) -> str:
    if gate is not None:
        return "ask the gate again: finished stages stay"
    last = run.last(failed)
    if last is not None and last.transient is False:
        return "try again once the cause is mended: finished stages stay"
    return "try again: finished stages stay"


def _on_params_or_data(run: Story, failed: str, gate: StoryGate | None) -> bool:
    """Whether other parameters may help: what failed, failed for good, and it or a stage before it takes some."""
    definition = run.definitions.get(run.version, {})
    stages = {stage["name"]: stage for stage in definition.get("stages", ())}
    start = gate.source if gate is not None else failed
    last = run.last(start)
    lasting = gate is not None or (last is not None and last.transient is False)
    if start not in stages or not lasting or not definition.get("params"):
        return False
    return any(stages[name].get("takes_params", True) for name in _above(stages, start))


def _above(stages: Mapping[str, Mapping[str, Any]], start: str) -> set[str]:
    """A stage and every one whose result it is made of."""
    ahead, seen = [start], set()
    while ahead:
        name = ahead.pop()
        if name not in seen and name in stages:
            seen.add(name)
            ahead += stages[name]["inputs"]
    return seen


def may_skip(definition: Mapping[str, Any], stage: str) -> bool:
    """Whether the graph allows a run to go on without a stage: each that takes its result can do without it."""
    stages = definition.get("stages", ())
    known = any(one["name"] == stage for one in stages)
    return known and all(stage in one.get("optional", ()) for one in stages if stage in one["inputs"])
