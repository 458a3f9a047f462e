"""The installation: daemons and their leases, pools, sinks and their lag, the database, the settings in effect."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request

from service.api.context import Context
from service.api.health import readiness
from service.config import describe
from service.console.page import Shown
from service.db.views import Views


async def system(context: Context, request: Request) -> Shown:
    """All of it, read anew when something happens."""
    views = context.views
    values = {
        "title": "System",
        "ready": await readiness(context),
        "daemons": await views.daemons(),
        "pools": await views.pools(),
        "sinks": await views.sinks(context.sinks),
        "queues": await queues(views),
        "settings": [one for one in describe(context.daemon.settings) if one.origin != "default"],
        "database": await views.database(),
        "listeners": context.stream.listeners,
        "mine": context.daemon.writer.daemon,
    }
    return Shown("system.html", values)


async def queues(views: Views) -> Mapping[str, Mapping[str, int]]:
    """How many runs of each pipeline are in each state that is no end."""
    found: dict[str, dict[str, int]] = {}
    for (pipeline, state), (runs, _) in sorted((await views.unfinished()).items()):
        found.setdefault(pipeline, {})[state] = runs
    return found
