"""Schedules: what they did and are to do, a calendar of each; pausing them, and firing one now."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any
from urllib.parse import quote
from uuid import uuid4
from zoneinfo import ZoneInfo

from starlette.requests import Request

from service.api.asking import fire_trigger
from service.api.bodies import FireBody, PauseBody, UnpauseBody
from service.api.by_name import page_of
from service.api.context import Context
from service.api.glance import SCHEDULED
from service.api.listings import known_triggers
from service.api.pauses import lift_pause, pause_place
from service.api.problems import Problem
from service.api.years import EARLIEST, LATEST, YEARS
from service.backfill import described, find_schedule
from service.console.calendar import cell_of, cells, stretch
from service.console.now import ticks_around
from service.console.page import Done, Form, Shown, further, who
from service.db.schedules import ScheduleViews
from service.shapes.backfills import TickShape

LIMIT, MOST_SCHEDULES = 10, 50


async def schedules(context: Context, request: Request) -> Shown:
    """A page of schedules with their latest and coming ticks, and the latest backfills."""
    known = {one["name"]: one for one in await known_triggers(context) if one["kind"] in SCHEDULED}
    after = request.query_params.get("after") or None
    names, following = page_of(known, after, MOST_SCHEDULES)
    backfills = await ScheduleViews(context.daemon.reads).backfills(before=None, limit=LIMIT)
    around = await ticks_around(context, names)
    values: dict[str, Any] = {"title": "Schedules", "schedules": [known[name] for name in names], "ticks": around}
    values |= further("/schedules", after, following)
    return Shown("schedules.html", {**values, "backfills": backfills["backfills"]})


async def schedule(context: Context, request: Request) -> Shown:
    """One, with its calendar around `on` (default: now)."""
    binding = find_schedule(context.daemon.catalogue, request.path_params["trigger"])
    now, zone = context.daemon.clock.now(), binding.trigger.zone
    asked = request.query_params.get("on", "")
    around = _instant(asked, zone) if asked else now
    found = await asyncio.to_thread(stretch, binding.trigger, around)
    due = await ScheduleViews(context.daemon.reads).ticks(binding, found.due)
    ticks = [tick for tick in due if not tick["before"]]
    shapes = {one["name"]: one for one in await known_triggers(context)}
    begin = found.begin.astimezone(zone)
    values = {
        "title": binding.name,
        "one": shapes[binding.name],
        "schedule": described(binding),
        "states": await _states(context, ticks),
        "zone": zone.key,
        "stretch": found,
        "begin": begin,
        "blank": begin.weekday() if found.span == "month" else 0,
        "cells": cells(found, ticks, zone),
        "present": cell_of(found.span, now.astimezone(zone)),
        "earlier": (found.begin.timestamp() > EARLIEST.timestamp()) and _address(found.begin, -1),
        "later": _address(found.end, 0),
        "asked": asked,
        "day": around.astimezone(zone).date().isoformat(),
        "once": str(uuid4()),
    }
    return Shown("schedule.html", values, live={"pipeline": binding.pipeline})


async def _states(context: Context, ticks: Sequence[TickShape]) -> Mapping[int, str]:
    """Where the runs of these ticks stand."""
    return await context.views.run_states([tick["run"] for tick in ticks if tick["run"] is not None])


def _address(at: datetime, seconds: int) -> str:
    """An instant as it stands in an address."""
    return f"{datetime.fromtimestamp(at.timestamp() + seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _instant(given: str, zone: ZoneInfo) -> datetime:
    """A day in the zone of the schedule, or an instant. Raises 422."""
    try:
        at = datetime.combine(date.fromisoformat(given), time.min, zone)
    except ValueError:
        at = _whole_instant(given, zone)
    if not EARLIEST < at < LATEST:
        raise Problem(422, f"on={given[:80]!r}: {YEARS}")
    return at


def _whole_instant(given: str, zone: ZoneInfo) -> datetime:
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        raise Problem(422, f"on={given[:80]!r}: expected a day, as 2026-01-31, or a time of RFC 3339") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=zone)


async def fired(context: Context, request: Request, form: Form) -> Done:
    """Make a tick now: the same event as by `tidemill fire`."""
    by, session = who(context, request, form)
    body = FireBody(name=form.get("trigger", ""), by=by)
    answer, _ = await fire_trigger(context, body, form.get("once") or None)
    event = answer["events"][0]
    to = f"/runs/{event['runs'][0]}" if event["runs"] else f"/events/{event['key']}"
    return Done(to, f"{by} has fired {answer['trigger']}.", session)


async def paused(context: Context, request: Request, form: Form) -> Done:
    """Pause a trigger or a pipeline: its events are kept, and start nothing."""
    by, session = who(context, request, form)
    what = form.get("what", "")
    stands = await pause_place(context, PauseBody(what=what, by=by, reason=form.get("reason", "")))
    return Done(
        _page_of(form, what), f"{what} is paused by {stands['by']}: its events are kept, and start nothing.", session
    )


async def unpaused(context: Context, request: Request, form: Form) -> Done:
    """Go on with what was paused."""
    by, session = who(context, request, form)
    what = form.get("what", "")
    await lift_pause(context, UnpauseBody(what=what, by=by))
    return Done(_page_of(form, what), f"{by} let {what} go on.", session)


def _page_of(form: Form, what: str) -> str:
    """The page that the form stood on."""
    pipeline = form.get("back") == "pipeline"
    return f"/pipelines/{quote(form.get('pipeline', what))}" if pipeline else f"/schedules/{quote(what)}"
