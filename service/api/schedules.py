"""Schedules: their ticks, past and coming, and backfills of them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.bodies import BackfillBody
from service.api.context import Context
from service.api.endpoint import BEFORE, LIMIT, Endpoint
from service.api.requests import known_only, path_id, query_id, query_limit, read_model
from service.api.runs import start_id
from service.api.standing import recorded_as
from service.api.years import EARLIEST, LATEST
from service.backfill import Stretch, described, find_schedule, first_of, last_of
from service.callers import Right
from service.db.backfills import PutBackfill, StopBackfill
from service.db.schedules import ScheduleViews
from service.errors import Conflict, Invalid, NotFound
from service.shapes.backfills import BackfillDetail, BackfillPlan, BackfillsPage, ScheduleAnswer
from triggers.base import Binding
from triggers.schedule import due_times, newest_due, tick_event

PAGE = {"before": BEFORE, "limit": LIMIT}
COUNT = {"count": "how many ticks, past and coming, 1 to 1,000; default 10"}
DEFAULT_COUNT, MOST_COUNT = 10, 1000
BATCH = 1000
SHOWN = 100
# The first year and the last in which any schedule is reckoned.


async def schedule(context: Context, request: Request) -> Response:
    """The ticks of a schedule around now. Raises `NotFound` naming the schedules there are."""
    known_only(request, COUNT)
    binding = find_schedule(context.daemon.catalogue, request.path_params["trigger"])
    given = query_id(request, "count")
    count = DEFAULT_COUNT if given is None else given
    if not 1 <= count <= MOST_COUNT:
        raise Invalid(f"count={count}: expected 1 to {MOST_COUNT}")
    now = context.daemon.clock.now()
    past, coming = await asyncio.to_thread(_around, binding, now, count)
    views = ScheduleViews(context.daemon.reads)
    answer: ScheduleAnswer = {
        "trigger": binding.name,
        "schedule": described(binding),
        "timezone": binding.trigger.zone.key,
        "enabled": binding.trigger.enabled,
        "now": now,
        "past": await views.ticks(binding, past),
        "coming": await views.ticks(binding, coming),
    }
    return Json(answer)


def _around(binding: Binding, now: datetime, count: int) -> tuple[list[datetime], list[datetime]]:
    past = newest_due(binding.trigger, max(EARLIEST, binding.trigger.start or EARLIEST), now, count)
    return past, list(islice(due_times(binding.trigger, now, LATEST), count))


async def ask(context: Context, request: Request) -> Response:
    """Begin a backfill. The same `id` is the same backfill."""
    body = await read_model(request, context.limit_bytes, BackfillBody)
    named = body.model_copy(update={"id": start_id(request, body.id)})
    found, made = await begin_backfill(context, named)
    return Json(found, 201 if made else 200)


async def begin_backfill(context: Context, body: BackfillBody) -> tuple[BackfillDetail, bool]:
    """The backfill, and whether it is new. Raises `NotFound`, `Invalid` and `Conflict`."""
    binding = find_schedule(context.daemon.catalogue, body.trigger)
    stretch = _stretch(context, body, binding.trigger.zone)
    total = await asyncio.to_thread(stretch.count, binding.trigger)
    if not total:
        raise Invalid(f"{binding.name} has no tick from {stretch.from_at} to {stretch.to_at}: nothing to run")
    [(backfill, made)] = await context.write(PutBackfill(_arguments(body, binding, stretch, total)))
    found = await backfill_called(context, backfill)
    if not made and found["trigger"] != binding.name:
        raise Conflict(f"id {body.id!r} is that of backfill {backfill} of {found['trigger']}: choose another")
    return found, made


async def plan(context: Context, request: Request) -> Response:
    """What a backfill would do. Changes nothing."""
    return Json(await plan_backfill(context, await read_model(request, context.limit_bytes, BackfillBody)))


async def plan_backfill(context: Context, body: BackfillBody) -> BackfillPlan:
    """What it would do. Raises `NotFound` and `Invalid`."""
    binding = find_schedule(context.daemon.catalogue, body.trigger)
    stretch = _stretch(context, body, binding.trigger.zone)
    total = await asyncio.to_thread(stretch.count, binding.trigger)
    return await _plan(context, binding, stretch, total, again=body.again)


def _stretch(context: Context, body: BackfillBody, zone: ZoneInfo) -> Stretch:
    now = context.daemon.clock.now()
    until = now if body.until is None else last_of(body.until, zone, now)
    since = first_of(body.since, zone)
    if until > now:
        raise Invalid(f"to {until} is in the future: what comes is the clock's to run")
    if until < since:
        raise Invalid(f"to {until} lies before from {since}")
    return Stretch(from_at=since, to_at=until, newest_first=body.order == "newest")


def _arguments(body: BackfillBody, binding: Binding, stretch: Stretch, total: int) -> tuple[Any, ...]:
    return (
        body.id or str(uuid4()),
        binding.pipeline,
        binding.trigger.name,
        described(binding),
        stretch.from_at,
        stretch.to_at,
        stretch.newest_first,
        body.again,
        body.stop_on_failure,
        body.max_parallel,
        body.priority,
        body.by,
        total,
    )


async def _plan(context: Context, binding: Binding, stretch: Stretch, total: int, *, again: bool) -> BackfillPlan:
    views = ScheduleViews(context.daemon.reads)
    known = 0
    first: list[datetime] = []
    batches = stretch.batches(binding.trigger, BATCH)
    while ticks := await asyncio.to_thread(next, batches, None):
        first = first or ticks[:SHOWN]
        known += await views.known(binding.pipeline, [tick_event(binding, due_at).key for due_at in ticks])
    return {
        "trigger": binding.name,
        "schedule": described(binding),
        "from_at": stretch.from_at,
        "to_at": stretch.to_at,
        "timezone": binding.trigger.zone.key,
        "now": context.daemon.clock.now(),
        "total": total,
        "known": known,
        "would_run": total if again else total - known,
        "ticks": await views.ticks(binding, first),
    }


async def list_backfills(context: Context, request: Request) -> Response:
    """A page of backfills."""
    known_only(request, PAGE)
    views = ScheduleViews(context.daemon.reads)
    return Json(await views.backfills(before=query_id(request, "before"), limit=query_limit(request)))


async def show(context: Context, request: Request) -> Response:
    """One backfill."""
    return Json(await backfill_called(context, path_id(request, "backfill", "backfill")))


async def stop(context: Context, request: Request) -> Response:
    """Start no more of its ticks; runs that are under way go on. Asking again changes nothing."""
    known_only(request, {"by": ""})
    by = (recorded_as(request.scope, request.query_params.get("by")) or "api")[:200]
    return Json(await stop_backfill(context, path_id(request, "backfill", "backfill"), by))


async def stop_backfill(context: Context, backfill: int, by: str) -> BackfillDetail:
    """Start no more of its ticks. Raises `NotFound`."""
    await backfill_called(context, backfill)
    await context.write(StopBackfill(backfill, by))
    return await backfill_called(context, backfill)


async def backfill_called(context: Context, backfill: int) -> BackfillDetail:
    """The backfill of that number. Raises `NotFound`."""
    found = await ScheduleViews(context.daemon.reads).backfill(backfill)
    if found is None:
        raise NotFound(f"no backfill {backfill}: `tidemill backfills` lists them")
    return found


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/schedules/{trigger:path}",
        summary="A schedule's ticks around now: what became of the latest, and when it is due next",
        tag="pipelines",
        handler=schedule,
        query=COUNT,
        answers={200: ScheduleAnswer},
        problems=(404, 422),
    ),
    Endpoint(
        method="POST",
        path="/api/v1/backfills",
        summary="Run a schedule's ticks of a stretch of time; those that ran already are left out",
        tag="pipelines",
        handler=ask,
        body=BackfillBody,
        answers={200: BackfillDetail, 201: BackfillDetail},
        problems=(404, 409, 413, 415, 422, 429),
    ),
    Endpoint(
        method="POST",
        path="/api/v1/backfills/plan",
        only=Right.VIEWER,
        summary="What a backfill would do: which ticks there are, and how many of them have run already",
        tag="pipelines",
        handler=plan,
        body=BackfillBody,
        answers={200: BackfillPlan},
        problems=(404, 413, 415, 422),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/backfills",
        summary="Backfills, newest first",
        tag="pipelines",
        handler=list_backfills,
        query=PAGE,
        answers={200: BackfillsPage},
        problems=(422,),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/backfills/{backfill}",
        summary="One backfill: how far it is, and the ticks that are under way or went wrong",
        tag="pipelines",
        handler=show,
        answers={200: BackfillDetail},
        problems=(404,),
    ),
    Endpoint(
        method="DELETE",
        path="/api/v1/backfills/{backfill}",
        summary="Stop a backfill: no more ticks are started, runs under way go on",
        tag="pipelines",
        handler=stop,
        query={"by": "who asks"},
        answers={200: BackfillDetail},
        problems=(404, 422, 429),
    ),
)
