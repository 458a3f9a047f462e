"""What a trigger with other settings would have done with what is on record. Reads only, and runs no code of others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.bodies import BacktestBody, DueBody
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.problems import Problem
from service.api.requests import read_model
from service.asking.changes import Changes, changed
from service.asking.due import Due, due_from
from service.asking.known import KnownEvents
from service.asking.rehearsal import Rehearsal
from service.asking.shapes import BacktestAnswer, DueAnswer
from service.asking.which import which
from service.callers import Right
from service.db.envelopes import heard_event
from service.db.inbox_pages import PAGE, InboxPages
from service.definition import describe_trigger
from service.shapes.answers import InboxEvent
from triggers.base import Binding, Trigger
from triggers.errors import InvalidTrigger
from triggers.schedule import Schedule

DAY = timedelta(days=1)
# What one request reads: a longer time is asked for in parts.
MOST_EVENTS = 200_000


async def backtest(context: Context, request: Request) -> Response:
    """Rehearse one trigger over the recorded events of a time."""
    body = await read_model(request, context.limit_bytes, BacktestBody)
    binding, since, until = _asked(context, body)
    changes = Changes(body.where, body.cron, body.timezone, body.coalesce, body.every)
    try:
        trigger = changed(binding.trigger, changes)
    except InvalidTrigger as error:
        raise Problem(422, str(error)) from None
    return Json(await _rehearsed(context, binding, trigger, since, until))


async def due(context: Context, request: Request) -> Response:
    """When the declared schedule was due, for whoever compares another with it."""
    body = await read_model(request, context.limit_bytes, DueBody)
    binding, since, until = _asked(context, body)
    answer: DueAnswer = {"due": [], "began_at": await KnownEvents(context.daemon.reads).began(binding)}
    if isinstance(binding.trigger, Schedule):
        answer["due"] = await asyncio.to_thread(due_from, binding.trigger, since, until)
    return Json(answer)


def _asked(context: Context, body: DueBody) -> tuple[Binding, datetime, datetime]:
    """The trigger and the time. Raises `NotFound`, `Invalid`, `Problem`."""
    binding = which(context.daemon.catalogue, body.trigger)
    until = body.until or context.daemon.clock.now()
    since = body.since or until - DAY
    if since >= until:
        raise Problem(422, f"from {since.isoformat()} is not before to {until.isoformat()}")
    return binding, since, until


async def _rehearsed(
    context: Context, binding: Binding, trigger: Trigger, since: datetime, until: datetime
) -> BacktestAnswer:
    daemon = context.daemon
    pipeline = daemon.catalogue.pipelines[binding.pipeline]
    declared = describe_trigger(binding.trigger)
    rehearsal = Rehearsal(
        pipeline, trigger, binding.trigger.name, declared, since, unchanged=trigger == binding.trigger
    )
    if isinstance(binding.trigger, Schedule) and isinstance(trigger, Schedule):
        began = await KnownEvents(daemon.reads).began(binding)
        was = await asyncio.to_thread(due_from, binding.trigger, since, until)
        would = await asyncio.to_thread(due_from, trigger, since, until)
        rehearsal.due = Due.of(was, would, began, daemon.clock.now())
    stopped = await _show(rehearsal, InboxPages(daemon.reads, heard_event), since, until)
    answer = await asyncio.to_thread(rehearsal.end, since, until)
    answer["read_until"] = stopped
    return answer


async def _show(rehearsal: Rehearsal, pages: InboxPages, since: datetime, until: datetime) -> datetime | None:
    """Show it all events of that time, page by page and off the loop; or where it stopped, for there were too many."""
    after, read = None, 0
    while True:
        page = await pages.page(since, until, after=after, limit=PAGE)
        await asyncio.to_thread(_see_all, rehearsal, page["events"])
        after, read = page["next"], read + len(page["events"])
        if after is None:
            return None
        if read >= MOST_EVENTS:
            return page["events"][-1]["accepted_at"]


def _see_all(rehearsal: Rehearsal, events: Sequence[InboxEvent]) -> None:
    for one in events:
        rehearsal.see(one)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/v1/backtests",
        summary="What a trigger with another filter, schedule or coalescing would have done with the recorded events",
        tag="events",
        handler=backtest,
        body=BacktestBody,
        answers={200: BacktestAnswer},
        problems=(404, 413, 415, 422),
    ),
    Endpoint(
        method="POST",
        path="/api/v1/backtests/due",
        only=Right.VIEWER,
        summary="When a declared schedule was due in a time, to compare another one with it",
        tag="events",
        handler=due,
        body=DueBody,
        answers={200: DueAnswer},
        problems=(404, 413, 415, 422),
    ),
)
