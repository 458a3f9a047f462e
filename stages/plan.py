"""The plan: a pipeline as the executor reads it, worked out once and never changed."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, NewType
from uuid import UUID

if TYPE_CHECKING:
    from pydantic import BaseModel

    from stages.base import Stage
    from stages.gates.base import Gate

# 32 hex digits. Text, for making a UUID takes six times as long as the digest itself.
StageKey = NewType("StageKey", str)


class Source(enum.Enum):
    """What fills a parameter of a stage."""

    STAGE = "stage"
    EVENT = "event"
    EVENTS = "events"
    PARAMS = "params"
    CONTEXT = "context"
    RECORDS = "records"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class Argument:
    """One parameter of a stage. `wanted` is the type its value is decoded to, None where nobody says.

    An `optional` one is None where the stage it comes from was skipped.
    """

    parameter: str
    source: Source
    upstream: str | None = None
    wanted: Any = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class PlanGate:
    """A gate on the arrow `src` -> `dst`. `name` is unique in the pipeline and is how people decide it."""

    name: str
    src: str
    dst: str
    gate: Gate


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanStage:
    """One stage as the executor and the runners read it.

    `inputs` maps a parameter to the stage whose output fills it; `upstream` adds the stages of `after=`. `index` is
    its place in a topological order. `spec` is where another process can import the pipeline from, if it can.
    `output_type` is what is stored: what the function's return annotation says, None if nothing, and a list of that
    where the stage is mapped. `optional` are the inputs it can do without. `list_type` is what a mapped stage's list is
    stored as. `takes_event`: it takes the event of its run, or all of them; `takes_events`: all of them.
    `reusable`: any run may take its result. `runs_through`: its function runs on the loop of this process and cannot
    be suspended, so nothing can stop it.
    """

    name: str
    index: int
    stage: Stage
    pipeline: str
    runner: str
    arguments: tuple[Argument, ...]
    inputs: Mapping[str, str]
    optional: frozenset[str]
    upstream: frozenset[str]
    downstream: frozenset[str]
    is_async: bool
    takes_event: bool
    takes_events: bool
    takes_params: bool
    takes_context: bool
    takes_records: bool
    output_type: Any
    params_type: type[BaseModel] | None
    code_digest: str
    environment_digest: str | None
    key_prefix: hashlib.blake2b = field(repr=False, compare=False)
    spec: str | None = None
    list_type: Any = None
    runs_through: bool = False
    reusable: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole pipeline: stages in topological order, and the gates on each arrow (an arrow without gates is absent).

    `stages` holds those of `order` and the `hooks` that run at the end (`on_cancel`, `on_failure`, `finally_`).
    """

    order: tuple[PlanStage, ...]
    stages: Mapping[str, PlanStage]
    gates: Mapping[tuple[str, str], tuple[PlanGate, ...]]
    hooks: Mapping[str, PlanStage] = field(default_factory=dict)

    def below(self, name: str) -> frozenset[str]:
        """The stage called `name`, and every stage that needs it, directly or not."""
        found = {name}
        for stage in self.order:
            if stage.upstream & found:
                found.add(stage.name)
        return frozenset(found)

    def gate(self, name: str) -> PlanGate | None:
        """The gate called `name`, or None."""
        return next((one for gates in self.gates.values() for one in gates if one.name == name), None)


def key_prefix(code_digest: str, environment_digest: str | None) -> hashlib.blake2b:
    """The part of every key of a stage that is known when its pipeline loads."""
    return hashlib.blake2b(_counted(code_digest) + _counted(environment_digest or ""), digest_size=16)


def stage_key(
    stage: PlanStage,
    *,
    inputs: Mapping[str, str],
    params_digest: str,
    event_key: UUID,
    environment_digest: str | None = None,
) -> StageKey:
    """The 128-bit identity of a stage's result, in 32 hex digits: equal keys, equal results, never computed twice.

    It covers the code of the stage and its environment's lock; its inputs (parameter -> `ArtifactRef.identity`, or
    nothing where what makes it was skipped); the run's parameters and the event only where the stage takes them. How it
    is run (retry, timeout, runner) is not in it.
    `environment_digest` overrides the lock's own, where a runner knows better (an image digest).
    """
    parts = []
    for parameter in stage.inputs:
        identity = inputs.get(parameter, "").encode()
        parts.append(b"%b%d:%b" % (_name(parameter), len(identity), identity))
    if stage.takes_params:
        parts.append(_counted(params_digest))
    if stage.takes_event or stage.takes_records:
        parts.append(event_key.bytes)
    if environment_digest is not None:
        parts.append(_counted(environment_digest))
    key = stage.key_prefix.copy()
    key.update(b"".join(parts))
    return StageKey(key.hexdigest())


def _counted(text: str) -> bytes:
    """Length first, so that no two lists of parts read the same."""
    part = text.encode()
    return b"%d:%b" % (len(part), part)


_name = cache(_counted)
