"""The installation: daemons and their leases, pools, sinks and their lag, the database, the settings in effect."""

from __future__ import annotations

from starlette.requests import Request

from service.api.context import Context
from service.api.health import readiness
from service.console.page import Shown


async def system(context: Context, request: Request) -> Shown:
    """All of it, read anew when something happens."""
    views = context.views
    values = {
        "title": "System",
        "ready": await readiness(context),
        "daemons": await views.daemons(),
        "pools": await views.pools(),
        "sinks": await views.sinks(context.sinks),
        "database": await views.database(),
        "listeners": context.stream.listeners,
        "mine": context.daemon.writer.daemon,
    }
    return Shown("system.html", values)
