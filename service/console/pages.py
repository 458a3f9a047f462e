"""The table of pages and forms: which handler answers where."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api.access import ACT, ASSETS, SIGN_IN
from service.api.context import Context
from service.api.standing import require
from service.callers import Right
from service.console import (
    artifacts,
    assets,
    audit,
    backfills,
    events,
    lineage,
    models,
    now,
    pipelines,
    provider,
    reviews,
    runs,
    schedules,
    signing,
    system,
)
from service.console.page import Act, IsThere, Show, act, show
from service.console.provider import CALLBACK, ENDED, PROVIDER
from service.console.standing import needed_to_act, needed_to_look

PAGES: Sequence[tuple[str, Show]] = (
    ("/", now.now),
    ("/reviews", reviews.reviews),
    ("/pipelines", pipelines.pipelines),
    ("/pipelines/{pipeline:path}", pipelines.pipeline),
    ("/schedules", schedules.schedules),
    ("/schedules/{trigger:path}", schedules.schedule),
    ("/backfills", backfills.backfills),
    ("/backfills/new", backfills.planning),
    ("/backfills/{backfill}", backfills.backfill),
    ("/models", models.models),
    ("/models/{model:path}/versions/{version}", models.version),
    ("/models/{model:path}", models.model),
    ("/system", system.system),
    ("/audit", audit.audit),
    ("/runs", runs.runs),
    ("/runs/{run}", runs.run),
    ("/runs/{run}/logs", runs.logs),
    ("/runs/{run}/resume", reviews.resuming),
    ("/runs/{run}/artifacts/{digest}", artifacts.artifact),
    ("/runs/{run}/artifacts/{digest}/lineage", lineage.lineage),
    ("/events", events.events),
    ("/events/{event}/explain", events.explained),
    ("/events/{event:path}", events.event),
)
# How pages of something are known to be there before they are read; the others with a name in their path are not.
IS_THERE: Mapping[str, IsThere] = {
    "/pipelines/{pipeline:path}": pipelines.is_loaded,
    "/runs/{run}": runs.is_known,
    "/runs/{run}/logs": runs.is_known,
}
FORMS: Sequence[tuple[str, Act]] = (
    ("runs/{run}/gates/{gate}", reviews.decided),
    ("runs/{run}/resume", reviews.resumed),
    ("runs/{run}/skip", reviews.skipped),
    ("runs/{run}/abandon", reviews.abandoned),
    ("runs/{run}/cancel", reviews.cancelled),
    ("events/{event}/replay", events.replayed),
    ("triggers/fire", schedules.fired),
    ("triggers/pause", schedules.paused),
    ("triggers/unpause", schedules.unpaused),
    ("backfills", backfills.begun),
    ("backfills/{backfill}/stop", backfills.stopped),
    ("models/alias", models.pointed),
    ("pipelines/start", pipelines.started),
    ("sign-out", signing.sign_out),
)


def page_routes(context: Context) -> list[Route]:
    """Every page, the forms they hold, and what they are dressed in."""

    def shown(path: str, handler: Show) -> Callable[[Request], Awaitable[Response]]:
        is_there = IS_THERE.get(path, None if "{" in path else _always)

        async def serve(request: Request) -> Response:
            return await show(context, request, handler, needed_to_look(path), is_there)

        return serve

    def done(path: str, handler: Act) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            return await act(context, request, handler, needed_to_act(path))

        return serve

    async def sign_in(request: Request) -> Response:
        if request.method == "POST":
            return await signing.sign_in(context, request)
        if await provider.goes_on(context, request):
            return await provider.depart(context, request, silent=True)
        return await show(context, request, signing.asking, None)

    def bare(handler: Callable[[Context, Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            return await handler(context, request)

        return serve

    return [
        Route("/runs/{run}/artifacts/{digest}/image", bare(_image), methods=["GET"]),
        Route(ASSETS + "{version}/{name}", bare(assets.serve), methods=["GET"]),
        Route(PROVIDER, bare(provider.depart), methods=["GET"]),
        Route(CALLBACK, bare(provider.arrive), methods=["GET"]),
        Route(ENDED, bare(provider.ended), methods=["POST"]),
        Route(SIGN_IN, sign_in, methods=["GET", "POST"]),
        *(Route(path, shown(path, handler), methods=["GET"]) for path, handler in PAGES),
        *(Route(ACT + path, done(path, handler), methods=["POST"]) for path, handler in FORMS),
    ]


async def _always(context: Context, request: Request) -> bool:
    return True


async def _image(context: Context, request: Request) -> Response:
    require(request.scope, Right.VIEWER)
    return await artifacts.image(context, request)
