"""Replays: a new run of an event that was accepted, beside the one it had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.bodies import ReplayBody
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.events import event_itself, found_event, meant_event
from service.api.problems import Problem
from service.api.requests import read_model
from service.api.runs import start_id
from service.api.versions import meant_version
from service.asking.foresight import listening, offers
from service.asking.given import Given
from service.asking.shapes import ReplayAnswer
from service.db.accept import Accept
from service.db.envelopes import whole_event
from service.db.kept import ForVersion
from service.db.offered import RunRow
from service.db.replays import PutReplay
from service.db.rows import Row
from service.db.writer import Operation
from service.errors import Conflict
from service.inbox import event_row
from service.shapes.answers import EventFate, OutcomeShape
from stages.secret_params import shown_whole
from triggers.base import Arrival, Fate, Offer
from triggers.event import Event
from triggers.replay import REPLAY_TAGS, SHADOW_TAGS, Replay, replay_event, replayed
from triggers.route import route_of

# A replay carries all events that shared the run.
MOST_SHARED = 1000
NAMED = "--pipeline, over HTTP `pipeline`"


@dataclass(frozen=True, slots=True)
class _Old:
    """What the event led to in the pipeline: its run, if any, and the parameters of the new one."""

    run: int | None
    params: Mapping[str, Any] | None
    events: Sequence[Event] = ()


async def replay(context: Context, request: Request) -> Response:
    """Accept a replay: an event of its own. A repeat of the same key answers with the first run."""
    body = await read_model(request, context.limit_bytes, ReplayBody)
    key = start_id(request, body.id) or str(uuid4())
    answer, first = await replay_event_of(context, body, key)
    return Json(answer, 202 if first else 200)


async def replay_event_of(context: Context, body: ReplayBody, key: str) -> tuple[ReplayAnswer, bool]:
    """The replay as it is recorded, and whether it is new. Raises `NotFound`, `Conflict` and `Problem`."""
    found = await meant_event(context, body.event)
    itself = await event_itself(context, found["key"])
    before = replayed(itself)
    original = itself if before is None else before.original
    if before is not None:
        found = await found_event(context, str(original.key))
    outcome = _outcome(found, body.pipeline)
    name = outcome["pipeline"]
    kept = await meant_version(context, name, body.on)
    old = await _old(context, found, outcome)
    shadow = not body.effects
    made = Replay(original, old.run, shadow, body.reuse, body.by, old.events)
    event = replay_event(made, name, key, context.daemon.clock.now())
    tags = SHADOW_TAGS if shadow else REPLAY_TAGS
    offer = Offer(name, made.trigger, params=old.params, tags=tags, pausable=False)
    return await _accept(context, event, offer, made, kept)


async def _accept(
    context: Context, event: Event, offer: Offer, made: Replay, kept: Row | None
) -> tuple[ReplayAnswer, bool]:
    """Durable together: the replay, its run, and the note of which event it is of."""
    inbox, arrivals = context.daemon.inbox, [Arrival(event, [offer])]
    inbox.refuse_when_busy()
    version, writes = _writes(context, event, offer, kept)
    note = PutReplay(event.key, offer.pipeline, made.original.key)
    accepted, *_ = await inbox.submit(*writes, note)
    [receipt] = inbox.receipts(arrivals, accepted)
    [outcome] = receipt.outcomes
    if not receipt.first:
        await _refuse_another(context, event)
    if outcome.run_id is None:
        raise Conflict(f"the replay was accepted and started nothing: {outcome.fate.value}: {outcome.reason}")
    answer: ReplayAnswer = {
        "event": str(event.key),
        "run": outcome.run_id,
        "of_event": str(made.original.key),
        "of_run": made.run,
        "pipeline": offer.pipeline,
        "version": version,
        "shadow": made.shadow,
        "reuse": made.reuse,
    }
    return answer, receipt.first


def _writes(context: Context, event: Event, offer: Offer, kept: Row | None) -> tuple[str, Sequence[Operation]]:
    """The version the replay runs on, and what accepts it. Raises `InvalidParams`.

    What is declared today says nothing of a `kept` version: its own code checks the parameters, and no limits count.
    """
    if kept is None:
        pipeline = context.daemon.catalogue.pipeline(offer.pipeline)
        pipeline.parse_params(offer.params)
        return pipeline.version, [context.daemon.inbox.operation_for([Arrival(event, [offer])])]
    run = RunRow(
        event_key=event.key,
        pipeline=offer.pipeline,
        version=kept["version"],
        trigger=offer.trigger,
        params=orjson.dumps(dict(offer.params or {})),
        priority=0,
        take=False,
        tags=offer.tags,
        cleans=bool(orjson.loads(kept["definition"]).get("hooks")),
        pausable=False,
    )
    return run.version, [Accept([event_row(event)], [run], []), ForVersion(event.key, offer.pipeline)]


async def _refuse_another(context: Context, event: Event) -> None:
    """Raises 422 where the key was used before for another kind of replay of this event."""
    stored = await context.views.stored_event(event.key)
    before = stored.get("data", {}) if stored else {}
    if any(before.get(name) != event.data[name] for name in ("shadow", "reuse")):
        raise Problem(422, "this key was used before for a replay with other settings: use another key")


def _outcome(found: EventFate, pipeline: str | None) -> OutcomeShape:
    """What the event led to in the pipeline of which a run is wanted. Raises `Problem` where that is not clear."""
    outcomes = found["outcomes"]
    if pipeline is not None:
        nothing: OutcomeShape = {"pipeline": pipeline, "trigger": "", "fate": Fate.IGNORED, "reason": "", "run": None}
        return next((one for one in outcomes if one["pipeline"] == pipeline), nothing)
    ran = [one for one in outcomes if one["run"] is not None]
    meant = ran or [one for one in outcomes if one["fate"] != Fate.IGNORED]
    if len(meant) == 1:
        return meant[0]
    names = ", ".join(one["pipeline"] for one in meant)
    if ran:
        raise Problem(409, f"this event has runs of several pipelines: say which of {names} ({NAMED})")
    which = f", which of {names}" if names else ""
    raise Problem(409, f"this event started no run: name the pipeline that is to run with it{which} ({NAMED})")


async def _old(context: Context, found: EventFate, outcome: OutcomeShape) -> _Old:
    """The old run and its parameters; without one, what a trigger of the pipeline would make of the event now."""
    if outcome["run"] is not None and (run := await context.views.run(outcome["run"])) is not None:
        rows = await context.daemon.reads.fetch("gathered_events", [run["id"]])
        if len(rows) > MOST_SHARED:
            raise Conflict(f"run {run['id']} holds {len(rows) + 1} events, more than a replay carries ({MOST_SHARED})")
        return _Old(run["id"], shown_whole(run["params"]), await _shared(context, run["event"]["key"], rows))
    return _Old(None, await _params_now(context, found, outcome))


async def _shared(context: Context, first: str, rows: Sequence[Any]) -> Sequence[Event]:
    """All events of a run that several share, else none."""
    if not rows:
        return ()
    return await event_itself(context, first), *(whole_event(row["envelope"]) for row in rows)


async def _params_now(context: Context, found: EventFate, outcome: OutcomeShape) -> Mapping[str, Any] | None:
    event = await event_itself(context, found["key"])
    bindings = [one for one in listening(context.daemon.catalogue) if one.pipeline == outcome["pipeline"]]
    given = Given(event, route_of(event, str(context.daemon.settings.root)))
    offered = offers(bindings, given, {(outcome["pipeline"], outcome["trigger"])})
    made = next((one for one in offered.values() if one.fate is Fate.RAN), None)
    if made is None:
        why = next((f": {one.reason}" for one in offered.values() if one.reason), "")
        raise Conflict(f"the event started no run of {outcome['pipeline']}, and no trigger of it would start one{why}")
    return made.params


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/v1/replays",
        summary="Run a pipeline again for an accepted event, beside its run and in shadow unless `effects` are wanted",
        tag="runs",
        handler=replay,
        headers={"Idempotency-Key": "identifies this replay, so that sending it again is safe"},
        keeps_key=True,
        body=ReplayBody,
        answers={200: ReplayAnswer, 202: ReplayAnswer},
        problems=(404, 409, 413, 415, 422, 429),
    ),
)
