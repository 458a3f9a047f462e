"""Every address of the API, and the router made of them and of the console's pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import groupby

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from service.api import (
    artifacts,
    asking,
    asyncapi,
    audit,
    backtests,
    ended,
    events,
    gates,
    health,
    links,
    listings,
    logs,
    models,
    now,
    pauses,
    reconcile,
    replays,
    retention,
    reviews,
    runs,
    schedules,
    steering,
    stories,
    stream,
    tokens,
    versions,
    waiting,
)
from service.api.answers import Json
from service.api.context import Context
from service.api.endpoint import Content, Endpoint, Handler
from service.api.etags import conditional
from service.api.keys import once
from service.api.names import NamesRoute
from service.api.openapi import document, shown_path
from service.console.pages import page_routes


async def description(context: Context, request: Request) -> Response:
    """The API in OpenAPI 3.1."""
    return Json(_document())


@cache
def _document() -> Mapping[str, object]:
    return document(ENDPOINTS)


ENDPOINTS: Sequence[Endpoint] = (
    *events.ENDPOINTS,
    *asking.ENDPOINTS,
    *runs.ENDPOINTS,
    *replays.ENDPOINTS,
    *reconcile.ENDPOINTS,
    *backtests.ENDPOINTS,
    *steering.ENDPOINTS,
    *stories.ENDPOINTS,
    *reviews.ENDPOINTS,
    *logs.ENDPOINTS,
    *artifacts.ENDPOINTS,
    *gates.ENDPOINTS,
    *waiting.ENDPOINTS,
    *links.ENDPOINTS,
    *listings.ENDPOINTS,
    *now.ENDPOINTS,
    *versions.ENDPOINTS,
    *pauses.ENDPOINTS,
    *models.ENDPOINTS,
    *schedules.ENDPOINTS,
    *retention.ENDPOINTS,
    *tokens.ENDPOINTS,
    *ended.ENDPOINTS,
    *audit.ENDPOINTS,
    *stream.ENDPOINTS,
    *health.ENDPOINTS,
    *asyncapi.ENDPOINTS,
    Endpoint(
        method="GET",
        path="/api/v1/openapi.json",
        summary="This document",
        tag="system",
        handler=description,
        answers={200: Content(media_type="application/json", schema={"type": "object"})},
    ),
)


def router(context: Context) -> Router:
    """One route for each path, so that a wrong method hears of all the right ones."""
    served = sorted((one for one in ENDPOINTS if one.handler is not None), key=_path)
    routes = [_route(context, path, list(group)) for path, group in groupby(served, key=_path)]
    return Router([*routes, *page_routes(context)], redirect_slashes=False)


def _path(endpoint: Endpoint) -> str:
    return endpoint.path


def _route(context: Context, path: str, endpoints: Sequence[Endpoint]) -> NamesRoute:
    by_method = {one.method: (one, one.handler) for one in endpoints if one.handler is not None}

    async def serve(request: Request) -> Response:
        endpoint, handler = by_method[request.method if request.method in by_method else "GET"]
        action = f"{request.method} {shown_path(endpoint)}"
        success = max((one for one in endpoint.answers if one < 300), default=200)
        return await context.audit.served(
            request, action, endpoint.needs, success, lambda: answered(context, request, endpoint, handler)
        )

    return NamesRoute(path, serve, methods=list(by_method))


async def answered(context: Context, request: Request, endpoint: Endpoint, handler: Handler) -> Response:
    """What its handler answers: to a POST once for each key, to a GET only what the caller has not got."""
    if endpoint.takes_key:
        return await once(context, request, endpoint, handler)
    answer = await handler(context, request)
    return conditional(request, answer) if endpoint.has_etag else answer
