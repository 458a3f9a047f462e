"""One run read whole, as plain data: what `explain`, `diff`, reviews and the report are worked out from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from service.model import AttemptState
from stages.artifacts import ArtifactRef
from stages.call import WHOLE
from triggers.event import events_key

AMENDED = "amended"
# States of attempts whose result the stages after them take.
MADE = frozenset({AttemptState.SUCCEEDED, AttemptState.REUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryAttempt:
    """One try. `version` is the pipeline's it was made with; `void` says why it counts no longer, if so."""

    stage: str
    attempt: int
    state: str
    version: str
    started_at: datetime
    item: int = WHOLE
    key: str | None = None
    void: str | None = None
    reason: str | None = None
    transient: bool | None = None
    output: ArtifactRef | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    reused_run: int | None = None
    child_run: int | None = None
    made_at: datetime | None = None
    finished_at: datetime | None = None
    retry_at: datetime | None = None

    @property
    def made(self) -> bool:
        """Whether there is a result that counts."""
        return self.state in MADE and self.void is None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryGate:
    """What was found on an arrow, for the artifact `subject`, and who or what decided."""

    name: str
    source: str
    target: str
    state: str
    reason: str
    evidence: Mapping[str, Any]
    subject: str
    decided_by: str
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryVote:
    """What a person said at a gate about the artifact `subject`. `role` is the name or group that let them."""

    gate: str
    subject: str
    by: str
    role: str | None
    decision: str
    reason: str
    at: datetime
    event: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryAction:
    """What a person did to the run."""

    at: datetime
    action: str
    by: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedEvent:
    """An event that joined a run before it started."""

    key: str
    accepted_at: datetime
    cloudevent: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A run with everything that happened in it. `definitions` are those of its pipeline that it was run by.

    `event` is what it was started for; `shared` are the events that joined it, in their order. `carried` are all those
    of a run that several shared, where this is a replay of it.
    """

    id: int
    pipeline: str
    version: str
    trigger: str
    state: str
    params: Mapping[str, Any]
    event_key: str
    event: Mapping[str, Any]
    accepted_at: datetime
    queued_at: datetime
    shared: Sequence[SharedEvent] = ()
    carried: Sequence[Mapping[str, Any]] = ()
    tags: Sequence[str] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure: Mapping[str, Any] | None = None
    cancelled_by: str | None = None
    abandoned_at: datetime | None = None
    abandoned_by: str | None = None
    abandon_reason: str | None = None
    cause_run: int | None = None
    cause_stage: str | None = None
    parent_run: int | None = None
    due_at: datetime | None = None
    late_at: datetime | None = None
    attempts: Sequence[StoryAttempt] = ()
    gates: Sequence[StoryGate] = ()
    votes: Sequence[StoryVote] = ()
    actions: Sequence[StoryAction] = ()
    definitions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def events_key(self) -> str:
        """What the keys of its stages have of its events."""
        if not self.shared:
            return self.event_key
        return str(events_key([UUID(self.event_key), *(UUID(one.key) for one in self.shared)]))

    @property
    def stage_names(self) -> list[str]:
        """The stages in the order of the graph, then those that its present version does not have."""
        known = [stage["name"] for stage in self.definitions.get(self.version, {}).get("stages", ())]
        return list(dict.fromkeys([*known, *(tried.stage for tried in self.attempts)]))

    def tries(self, stage: str) -> list[StoryAttempt]:
        """The attempts of a stage, the last one last."""
        found = [tried for tried in self.attempts if tried.stage == stage]
        return sorted(found, key=lambda tried: (tried.item != WHOLE, tried.item, tried.attempt))

    def last(self, stage: str) -> StoryAttempt | None:
        """The attempt that says where a stage stands: of a mapped one the one for its whole list, if there is any."""
        tries = [tried for tried in self.tries(stage) if tried.void is None] or self.tries(stage)
        whole = [tried for tried in tries if tried.item == WHOLE]
        return next(reversed(whole or tries), None)

    def output(self, stage: str) -> ArtifactRef | None:
        """What the stages after it take, if there is anything."""
        last = self.last(stage)
        return last.output if last is not None and last.made else None

    def definition(self, stage: str) -> Mapping[str, Any] | None:
        """What is known of a stage, in the version its last attempt was made with."""
        last = self.last(stage)
        return self.definition_at(stage, last.version if last is not None else self.version)

    def definition_at(self, name: str, version: str) -> Mapping[str, Any] | None:
        """What is known of a stage in a version."""
        definition = self.definitions.get(version, {})
        known = (*definition.get("stages", ()), *definition.get("hooks", {}).values())
        return next((one for one in known if one["name"] == name), None)

    def params_at(self, at: datetime) -> Mapping[str, Any]:
        """The parameters in force at an instant: a person may have amended them since."""
        params = dict(self.params)
        later = [one for one in self.actions if one.action == AMENDED and one.at > at]
        for action in sorted(later, key=lambda one: one.at, reverse=True):
            changed = action.detail.get("params", {})
            params |= {name: change["from"] for name, change in changed.items()}
        return params
