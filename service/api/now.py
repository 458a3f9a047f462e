"""How things go just now, as figures: what the start page draws."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.glance import NEWEST, arrivals, batches, heard, latencies, rates, totals
from service.api.listings import known_triggers
from service.api.requests import known_only
from service.shapes.now import NowAnswer


async def now(context: Context, request: Request) -> Response:
    """Read once for all who ask within a moment."""
    known_only(request, {})
    return Json(await context.shared.of("figures", lambda: _figures(context)))


async def _figures(context: Context) -> NowAnswer:
    triggers, newest, unfinished, wait = await asyncio.gather(
        known_triggers(context),
        context.daemon.reads.fetch("newest_runs", NEWEST),
        context.views.unfinished(),
        context.views.people_wait(),
    )
    return {
        "at": context.daemon.clock.now(),
        "since": datetime.fromtimestamp(context.meters.started, UTC),
        "unfinished": totals(unfinished),
        "people_wait": wait,
        "newest": len(newest),
        "arrivals": arrivals(newest),
        "batches": batches(newest),
        "records_per_s": rates(newest),
        "latencies": [
            {"kind": one.kind, "runs": one.runs, "p50_s": one.p50_s, "p99_s": one.p99_s}
            for one in latencies(newest, triggers)
        ],
        "heard": [
            {"kind": one.kind, "events": one.events, "fates": {fate.value: events for fate, events in one.fates}}
            for one in heard(context.daemon.inbox.accepted)
        ],
    }


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/now",
        summary="How things go just now: unfinished runs, and of the newest what came, how fast, and how soon it began",
        tag="system",
        handler=now,
        answers={200: NowAnswer},
        problems=(422,),
    ),
)
