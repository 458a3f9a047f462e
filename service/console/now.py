"""The start page: what the three modes do, what runs, what waits for whom, what failed, and health."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from starlette.requests import Request

from service.api.context import Context
from service.api.glance import NEWEST, arrivals, batches, heard, latencies, mode, rates, totals
from service.api.health import readiness
from service.api.listings import known_triggers
from service.api.reviews import reviews_page
from service.api.years import EARLIEST, LATEST
from service.console.page import Shown
from service.console.timeline import timeline
from service.db.schedules import ScheduleViews
from service.log_stream import Place
from triggers.base import Binding
from triggers.schedule import Schedule, due_times, newest_due

# Runs, and triggers of each mode.
LIMIT, MOST_TRIGGERS = 8, 50
PAST, COMING = 10, 3
Ticks = tuple[list[datetime], list[datetime]]


async def now(context: Context, request: Request) -> Shown:
    """Everything at a glance; read once for all who look within a moment, and after what each has heard of."""
    told = Place.read(request.headers.get("last-event-id", ""))
    knows = (lambda shown: shown.place > told) if told else (lambda shown: True)
    return await context.shared.of("now", lambda: _shown(context), knows)


async def _shown(context: Context) -> Shown:
    place = await context.stream.end()
    facts, runs = await asyncio.gather(_facts(context), _runs(context))
    return Shown("now.html", {"title": "Now", **facts, **runs}, place=place)


async def _facts(context: Context) -> Mapping[str, Any]:
    """Read at the same time: who waits for them waits for the slowest, and not for one after the other."""
    triggers, newest, ready, daemons, ticks = await asyncio.gather(
        known_triggers(context),
        context.daemon.reads.fetch("newest_runs", NEWEST),
        readiness(context),
        context.views.daemons(),
        ticks_around(context, [one.name for one in context.daemon.catalogue.bindings(Schedule)][:MOST_TRIGGERS]),
    )
    modes: dict[str, list[Any]] = {"continuous": [], "scheduled": [], "triggered": []}
    for trigger in triggers:
        modes[mode(trigger["kind"])].append(trigger)
    return {
        "ready": ready,
        "daemons": daemons,
        "modes": {name: found[:MOST_TRIGGERS] for name, found in modes.items()},
        "unshown": {name: len(found[MOST_TRIGGERS:]) for name, found in modes.items()},
        "ticks": ticks,
        "batches": batches(newest),
        "rates": rates(newest),
        "arrivals": arrivals(newest),
        "newest": len(newest),
        "heard": heard(context.daemon.inbox.accepted),
        "since": datetime.fromtimestamp(context.meters.started, UTC),
        "latencies": latencies(newest, triggers),
    }


async def _runs(context: Context) -> Mapping[str, Any]:
    views = context.views
    unfinished, running, waiting, ended, failed = await asyncio.gather(
        views.unfinished(),
        views.runs(state="running", limit=LIMIT),
        views.runs(state="waiting", limit=LIMIT),
        views.runs(state="succeeded", limit=LIMIT),
        reviews_page(context, None, None, LIMIT),
    )
    return {
        "totals": totals(unfinished),
        "running": running["runs"],
        "waiting": waiting["runs"],
        "failed": failed,
        "ended": ended["runs"],
    }


async def ticks_around(context: Context, names: Collection[str]) -> Mapping[str, Mapping[str, Any]]:
    """The latest ticks of these schedules that are known, what became of them, how their runs stand, and what comes."""
    known = context.daemon.catalogue.bindings(Schedule)
    bindings = [one for one in known if one.trigger.enabled and one.name in names]
    at = context.daemon.clock.now()
    around = await asyncio.to_thread(lambda: [_around(one, at) for one in bindings])
    views = ScheduleViews(context.daemon.reads)
    found = await views.ticks_of([(one, past) for one, (past, _) in zip(bindings, around, strict=True)])
    past = [[tick for tick in ticks if not tick["before"]] for ticks in found]
    runs = [tick["run"] for ticks in past for tick in ticks if tick["run"] is not None]
    states = await context.views.run_states(runs)
    return {
        one.name: {"past": ticks, "coming": coming, "states": states, "line": timeline(ticks, coming, at, states)}
        for one, ticks, (_, coming) in zip(bindings, past, around, strict=True)
    }


def _around(binding: Binding, at: datetime) -> Ticks:
    trigger = binding.trigger
    past = newest_due(trigger, max(EARLIEST, trigger.start or EARLIEST), at, PAST)
    return sorted(past), list(islice(due_times(trigger, at, LATEST), COMING))
