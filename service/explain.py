"""Why a stage was computed or its result used again: which part of its key changed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from typing_extensions import TypedDict

from service.model import AttemptState
from service.story import Story, StoryAttempt

SHOWN_DIGEST = 10
SHOWN_VALUE = 60
UNKNOWN = "unknown"

Component = Literal["code", "environment", "input", "params", "event", "key"]


class KeyChange(TypedDict):
    """One part of a key that is not as it was. `name` is the input or parameter; `told` says it in words."""

    component: str
    name: str
    before: Any
    after: Any
    told: str


class StageExplained(TypedDict):
    """Where a stage's result came from and what changed. `since` is the run it is compared with."""

    stage: str
    state: str
    key: str | None
    result: str
    reused_run: int | None
    since: int | None
    changes: list[KeyChange]
    told: str


class Explanation(TypedDict):
    """A run, stage by stage, compared with an earlier one of its pipeline (null: there was none)."""

    run: int
    pipeline: str
    version: str
    since: int | None
    stages: list[StageExplained]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyParts:
    """What a stage's key is made of. `inputs` maps the stage that made an input to the input's identity.

    `params` and `event` are None where the stage takes none.
    """

    code: str
    environment: str | None = None
    inputs: Mapping[str, str]
    params: Mapping[str, Any] | None = None
    event: str | None = None


def key_parts(
    stage: Mapping[str, Any], *, inputs: Mapping[str, str], params: Mapping[str, Any], event: str
) -> KeyParts:
    """The parts for a stage as `service.definition.describe_stage` tells of it.

    `inputs` may hold more than the stage takes. A definition stored by an older Tidemill does not say whether the stage
    takes params or the event: then it is taken to.
    """
    return KeyParts(
        code=stage["code_digest"],
        environment=stage.get("environment_digest"),
        inputs={name: inputs[name] for name in stage["inputs"] if name in inputs},
        params=params if stage.get("takes_params", True) else None,
        event=event if stage.get("takes_event", False) else None,
    )


def changes(before: KeyParts, after: KeyParts) -> list[KeyChange]:
    """Every part that differs, most telling first. Empty: the keys are equal, and so are the results."""
    return [*_code(before, after), *_params(before, after), *_inputs(before, after), *_event(before, after)]


def _code(before: KeyParts, after: KeyParts) -> Iterator[KeyChange]:
    for component, old, new in (
        ("code", before.code, after.code),
        ("environment", before.environment, after.environment),
    ):
        if old != new:
            told = f"its {component} changed ({short(old)} -> {short(new)})"
            yield {"component": component, "name": "", "before": old, "after": new, "told": told}


def _params(before: KeyParts, after: KeyParts) -> Iterator[KeyChange]:
    if (before.params is None) != (after.params is None):
        told = "it takes parameters now" if before.params is None else "it takes no parameters any more"
        yield {"component": "params", "name": "", "before": before.params, "after": after.params, "told": told}
    elif before.params is not None and after.params is not None:
        for name, old, new in differing(before.params, after.params):
            told = f"parameter {name} changed from {shown(old)} to {shown(new)}"
            yield {"component": "params", "name": name, "before": old, "after": new, "told": told}


def _inputs(before: KeyParts, after: KeyParts) -> Iterator[KeyChange]:
    for name, old, new in differing(before.inputs, after.inputs):
        if old is None or new is None:
            told = f"it takes {name} now" if old is None else f"it takes {name} no longer"
        else:
            told = f"its input {name} is another ({short(old)} -> {short(new)})"
        yield {"component": "input", "name": name, "before": old, "after": new, "told": told}


def _event(before: KeyParts, after: KeyParts) -> Iterator[KeyChange]:
    if before.event != after.event:
        told = "it takes the event, and that is another"
        yield {"component": "event", "name": "", "before": before.event, "after": after.event, "told": told}


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Each name whose values differ, with both; None stands for what is not there."""
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield name, before.get(name), after.get(name)


def short(digest: str | None) -> str:
    """The first digits of a digest, or of that of an identity (`codec@digest`)."""
    return "none" if digest is None else digest.rpartition("@")[2][:SHOWN_DIGEST]


def shown(value: Any) -> str:
    """A value as JSON, cut where it is long."""
    told = orjson.dumps(value, default=str).decode()
    return told if len(told) <= SHOWN_VALUE else f"{told[: SHOWN_VALUE - 3]}..."


def explain(run: Story, since: Story | None) -> Explanation:
    """Every stage of `run`, compared with `since`."""
    found = {name: _changed(run, since, name) for name in run.stage_names} if since is not None else {}
    return {
        "run": run.id,
        "pipeline": run.pipeline,
        "version": run.version,
        "since": since.id if since is not None else None,
        "stages": [_stage(run, since, name, found) for name in run.stage_names],
    }


def parts_of(run: Story, stage: str) -> KeyParts | None:
    """The parts of a stage's last key, None where its version's definition is not stored."""
    told, last = run.definition(stage), run.last(stage)
    if told is None or last is None:
        return None
    outputs = ((name, run.output(name)) for name in told["inputs"])
    inputs = {name: output.identity for name, output in outputs if output is not None}
    return key_parts(told, inputs=inputs, params=run.params_at(last.started_at), event=run.events_key)


def _changed(run: Story, since: Story, stage: str) -> list[KeyChange] | None:
    """What changed of a stage, None where that cannot be told."""
    before, after = parts_of(since, stage), parts_of(run, stage)
    then, now = since.last(stage), run.last(stage)
    if before is None or after is None or then is None or now is None:
        return None
    if then.key is not None and then.key == now.key:
        return []
    found = changes(before, after)
    if found or then.key is None or now.key is None:
        return found
    told = (
        "its key changed, though nothing that is on record did: another version of Tidemill may have made one of them"
    )
    return [{"component": "key", "name": "", "before": then.key, "after": now.key, "told": told}]


def _stage(run: Story, since: Story | None, name: str, found: Mapping[str, list[KeyChange] | None]) -> StageExplained:
    last, changed = run.last(name), found.get(name)
    noted = [_with_origin(change, run, since, found) for change in changed or ()]
    result = _result(last)
    return {
        "stage": name,
        "state": last.state if last is not None else "pending",
        "key": last.key if last is not None else None,
        "result": result,
        "reused_run": last.reused_run if last is not None else None,
        "since": since.id if since is not None else None,
        "changes": noted,
        "told": _told(run, since, name, result, None if changed is None else noted),
    }


def _result(last: StoryAttempt | None) -> str:
    if last is None:
        return "pending"
    return "computed" if last.state == AttemptState.SUCCEEDED else last.state


def _with_origin(
    change: KeyChange, run: Story, since: Story | None, found: Mapping[str, list[KeyChange] | None]
) -> KeyChange:
    """A changed input with the stages, however far up, whose own change made it so."""
    if change["component"] != "input" or since is None or change["before"] is None or change["after"] is None:
        return change
    origins = _origins(change["name"], found)
    if origins:
        return {**change, "told": f"{change['told']}, since {'; '.join(origins)}"}
    return {**change, "told": f"{change['told']}, though nothing {change['name']} is made of changed"}


def _origins(stage: str, found: Mapping[str, list[KeyChange] | None]) -> list[str]:
    """`in ingest parameter month changed ...` for this stage and each one above it that changed by itself."""
    told: list[str] = []
    ahead, seen = [stage], set()
    while ahead:
        name = ahead.pop(0)
        seen.add(name)
        own = [one["told"] for one in found.get(name) or () if one["component"] != "input"]
        told += [f"in {name} {', '.join(own)}"] if own else []
        above = [one["name"] for one in found.get(name) or () if one["component"] == "input"]
        ahead += [one for one in above if one not in seen and one not in ahead]
    return told


def _told(run: Story, since: Story | None, name: str, result: str, noted: Sequence[KeyChange] | None) -> str:
    """One or two sentences."""
    last = run.last(name)
    match result:
        case "pending":
            return "not reached yet"
        case "computed":
            return f"computed{_why(run, since, name, noted)}"
        case "reused" if last is not None:
            if last.reused_run == run.id:
                return "kept: its key is what it was before the run was resumed"
            other = f"; since run {since.id}: {_listed(noted)}" if since is not None and noted else ""
            return f"reused from run {last.reused_run}, whose key was the same{other}"
        case "skipped" if last is not None:
            return f"skipped: {last.reason or 'no reason is on record'}"
    return f"{result}{_why(run, since, name, noted)}"


def _why(run: Story, since: Story | None, name: str, noted: Sequence[KeyChange] | None) -> str:
    if since is None:
        return ": no earlier run to compare with"
    then = since.last(name)
    if then is None or not then.made:
        stands = "did not reach it" if then is None else f"has no result of it ({then.state})"
        return f" for the first time: run {since.id} {stands}" + (f"; {_listed(noted)}" if noted else "")
    if noted is None:
        return f": the definitions to compare it with run {since.id} are not stored"
    if noted:
        return f", since {_listed(noted)}"
    return f", though nothing changed since run {since.id}: {_again(run, since, name)}"


def _listed(noted: Sequence[KeyChange] | None) -> str:
    return ", and ".join(one["told"] for one in noted or ())


def _again(run: Story, since: Story, name: str) -> str:
    """Why a result with the same key was made once more."""
    told, now, then = run.definition(name) or {}, run.last(name), since.last(name)
    if told.get("reuse") == "never":
        return 'it says reuse="never"'
    if any(one.void == "forced" for one in (*run.tries(name), *since.tries(name))):
        return "a person asked for it"
    if told.get("map"):
        return "the list of its items' results is put together in every run, and items that are known are reused"
    if told.get("reuse") == "run":
        return 'its results count for their own run alone (reuse="run")'
    if now is None or then is None:
        return UNKNOWN
    made_at = then.made_at or then.finished_at
    expires_s = told.get("expires_s")
    if expires_s is not None and made_at is not None and (now.started_at - made_at).total_seconds() > expires_s:
        return f"that result was older than expires_s={expires_s:g}"
    if made_at is not None and made_at > now.started_at:
        return f"run {since.id} had not finished it yet"
    if told.get("takes_event"):
        return "results of stages that take the event count for their own run alone"
    return "that result could not be read from the artifact store, or had been removed"
