"""Pausing triggers and pipelines: what comes meanwhile is accepted, and its fate is `paused`."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.bodies import PauseBody, UnpauseBody
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.requests import read_model
from service.asking.which import which
from service.db.pauses import Pause
from service.db.pausing import LiftPause, PutPause
from service.errors import Conflict
from service.shapes.triggers import PausesAnswer, PauseShape, UnpausedAnswer

Place = tuple[str, str]


async def pause(context: Context, request: Request) -> Response:
    """Pause it. Pausing again changes nothing, and answers who was first."""
    return Json(await pause_place(context, await read_model(request, context.limit_bytes, PauseBody)))


async def pause_place(context: Context, body: PauseBody) -> Mapping[str, object]:
    """Pause a pipeline or a trigger; the answer is the pause that stands. Raises `NotFound` and `Invalid`."""
    place = _place(context, body.what)
    await context.write(PutPause(*place, body.reason, body.by))
    standing = (await context.views.pauses()).by_place.get(place)
    return dict(shape(standing)) if standing else {**_nothing(place), "by": body.by, "reason": body.reason}


async def unpause(context: Context, request: Request) -> Response:
    """Go on. Raises `Conflict` where it was not paused."""
    return Json(await lift_pause(context, await read_model(request, context.limit_bytes, UnpauseBody)))


async def lift_pause(context: Context, body: UnpauseBody) -> UnpausedAnswer:
    """Let a pipeline or a trigger go on. Raises `NotFound`, `Invalid` and `Conflict`."""
    pauses_now = (await context.views.pauses()).by_place
    standing = {named(place): place for place in pauses_now}
    place = standing.get(body.what) or _place(context, body.what)
    [lifted] = await context.write(LiftPause(*place, body.by))
    if lifted is None:
        paused = f"; paused are {', '.join(sorted(standing))}" if standing else ": nothing is"
        raise Conflict(f"{named(place)} is not paused{paused}")
    since = pauses_now[place].at if place in pauses_now else None
    return {
        "name": named(place),
        "pipeline": place[0],
        "trigger": place[1] or None,
        "by": body.by,
        "pause": lifted,
        "paused_at": since,
    }


async def pauses(context: Context, request: Request) -> Response:
    """What is paused."""
    return Json({"pauses": [shape(one) for one in (await context.views.pauses()).by_place.values()]})


def shape(one: Pause) -> PauseShape:
    """A pause as the API tells it."""
    name = named((one.pipeline, one.trigger))
    told = {"name": name, "pipeline": one.pipeline, "trigger": one.trigger or None}
    return {**told, "reason": one.reason, "by": one.by, "at": one.at}  # type: ignore[typeddict-item]


def named(place: Place) -> str:
    """What people call it: `pipeline/trigger`, or the pipeline."""
    return "/".join(part for part in place if part)


def _place(context: Context, what: str) -> Place:
    """The pipeline of this name, else the trigger. Raises `NotFound` and `Invalid`."""
    catalogue = context.daemon.catalogue
    if what in catalogue.pipelines:
        return (what, "")
    binding = which(catalogue, what)
    return (binding.pipeline, binding.trigger.name)


def _nothing(place: Place) -> Mapping[str, object]:
    return {"name": named(place), "pipeline": place[0], "trigger": place[1] or None, "at": None}


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/pauses",
        summary="What is paused, by whom and why",
        tag="pipelines",
        handler=pauses,
        answers={200: PausesAnswer},
    ),
    Endpoint(
        method="POST",
        path="/api/v1/pauses",
        summary="Pause a trigger or a pipeline: its events are kept with the fate `paused`, and start nothing",
        tag="pipelines",
        handler=pause,
        body=PauseBody,
        answers={200: PauseShape},
        problems=(404, 413, 415, 422, 429),
    ),
    Endpoint(
        method="POST",
        path="/api/v1/pauses/lift",
        summary="Go on with a trigger or a pipeline that was paused",
        tag="pipelines",
        handler=unpause,
        body=UnpauseBody,
        answers={200: UnpausedAnswer},
        problems=(404, 409, 413, 415, 422, 429),
    ),
)
