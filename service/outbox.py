"""Events that runs cause: what stages emit, and the sub-runs they ask for, on their way into the inbox."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from service.catalogue import Catalogue
from service.db.accept import Accept
from service.errors import ServiceError
from service.inbox import PostgresInbox
from service.loops.live import LiveRun
from service.model import unit_of
from stages.errors import Permanent
from stages.invoke import cause_of, emitted_source
from stages.pipeline import Pipeline
from stages.plan import PlanStage
from stages.secret_params import secret_paths, without
from stages.subrun import SubRun
from triggers.base import Arrival, Offer
from triggers.cloudevents import CloudEvents, from_json
from triggers.errors import TriggerError
from triggers.event import Event, utc_now
from triggers.marked import SECRETS, secrets_of, shown
from triggers.match import arrival
from triggers.replay import REPLAY_TAGS, REPLAY_TRIGGER, REPLAYED, SHADOW, SHADOW_TAGS, SHADOW_TRIGGER
from triggers.trace import continued


@dataclass(frozen=True, slots=True)
class Emitted:
    """CloudEvents that a stage emitted, as plain data."""

    events: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Child:
    """A sub-run that a stage asks for; `event` is what starts it."""

    event: Event
    wanted: SubRun
    trigger: str
    tags: Sequence[str]


Caused = Emitted | Child


class Outbox:
    """Makes the writes that accept them. The inbox comes later, since it hands runs over to whoever uses this."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._inbox: PostgresInbox | None = None

    def opens_into(self, inbox: PostgresInbox) -> None:
        """Where the events go."""
        self._inbox = inbox

    async def emitted(self, events: Sequence[Mapping[str, Any]]) -> Accept:
        """The write that accepts what a stage emitted. Raises `Permanent` for what is no CloudEvent."""
        return await self.accepting(Emitted(events))

    async def child(self, run: LiveRun, stage: PlanStage, item: int, wanted: SubRun) -> Accept:
        """The write that starts a sub-run, or finds the one that was started. Raises `Permanent` or `InvalidParams`."""
        _check_plain(stage, wanted)
        return await self.accepting(Child(_child_event(run, stage, item, wanted), wanted, *_started_by(run)))

    async def accepting(self, caused: Caused) -> Accept:
        """The write, which hands over what it starts. Raises as the others do."""
        return self._opened().operation_for(self._arrivals(caused))

    def unsent(self, effects: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
        """What a run in shadow would have done, as it may be kept: of events without what those who hear them mark."""
        secrets = " ".join(secrets_of(self._catalogue.bindings(CloudEvents)))
        if not secrets:
            return effects
        return [
            {**one, "event": shown({**one["event"], SECRETS: secrets})} if "event" in one else one for one in effects
        ]

    def rows(self, caused: Caused) -> Accept:
        """The same write for another process, which hands nothing over here."""
        return self._opened().rows_for(self._arrivals(caused))

    def _opened(self) -> PostgresInbox:
        if self._inbox is None:
            raise ServiceError("events cannot be emitted before the daemon has an inbox")
        return self._inbox

    def _arrivals(self, caused: Caused) -> Sequence[Arrival]:
        if isinstance(caused, Child):
            return [self._child(caused)]
        listening = list(self._catalogue.bindings(CloudEvents))
        events = [_checked(plain) for plain in caused.events]
        return [arrival(listening, event) for event in events]

    def _child(self, child: Child) -> Arrival:
        wanted = child.wanted
        pipeline = self._catalogue.pipelines.get(wanted.pipeline)
        if pipeline is None:
            known = ", ".join(sorted(self._catalogue.pipelines))
            raise Permanent(f"no pipeline is called {wanted.pipeline!r} here, to run as a sub-run; loaded: {known}")
        if wanted.output is not None and wanted.output not in pipeline.plan.stages:
            raise Permanent(
                f"sub-run: pipeline {wanted.pipeline!r} has no stage {wanted.output!r} to take an output of"
            )
        pipeline.parse_params(wanted.params)
        offered = Offer(
            wanted.pipeline, child.trigger, params=dict(wanted.params), tags=tuple(child.tags), pausable=False
        )
        return Arrival(_without_secrets(child.event, wanted, pipeline), [offered])


def _without_secrets(event: Event, wanted: SubRun, pipeline: Pipeline) -> Event:
    """Of a secret only the run has the value."""
    secret = secret_paths(pipeline.params)
    return replace(event, data={**event.data, "params": without(wanted.params, secret)}) if secret else event


def _started_by(run: LiveRun) -> tuple[str, Sequence[str]]:
    """By what a sub-run of this one is said to be started, and its tags: those of a replay are of that replay."""
    if run.shadow:
        return SHADOW_TRIGGER, SHADOW_TAGS
    return (REPLAY_TRIGGER, REPLAY_TAGS) if run.replays else ("subrun", ())


def _checked(plain: Mapping[str, Any]) -> Event:
    """An emitted event, held to the same rules as one from outside, but for its source."""
    try:
        return replace(from_json({**plain, "source": "stage"}), source=plain["source"])
    except TriggerError as error:
        raise Permanent(f"an emitted event is no CloudEvent: {error}") from None


def _check_plain(stage: PlanStage, wanted: SubRun) -> None:
    try:
        orjson.dumps([dict(wanted.params), wanted.data])
    except TypeError as error:
        raise Permanent(f"stage {stage.name!r} asks for a sub-run with what is no plain JSON: {error}") from None


def _child_event(run: LiveRun, stage: PlanStage, item: int, wanted: SubRun) -> Event:
    """The same each time the stage asks for the same, unless its result was set aside in between.

    What it asks for is in the identity: a run that was resumed with other parameters wants another sub-run.
    """
    unit = unit_of(stage.name, item)
    asked = {"params": dict(wanted.params), "data": wanted.data}
    told = orjson.dumps([wanted.pipeline, asked], option=orjson.OPT_SORT_KEYS)
    about = hashlib.blake2b(told, digest_size=8).hexdigest()
    return Event(
        source=f"{emitted_source(run.pipeline.name, stage.name)}/subrun",
        id=f"{run.id}/{unit}/{about}/{run.view.voided.get(unit, 0)}",
        type="dev.tidemill.subrun",
        time=utc_now(),
        subject=wanted.pipeline,
        datacontenttype="application/json",
        data=asked,
        extensions={
            **continued(run.event.extensions, run.event.key.hex, f"{run.id}/{unit}"),
            **cause_of(run.id, stage.name, run.depth),
            **({SHADOW: True} if run.shadow else {}),
            **({REPLAYED: True} if run.replays else {}),
        },
    )
