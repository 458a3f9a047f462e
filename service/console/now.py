"""The start page: what the three modes do, what runs, what waits, what failed."""

from __future__ import annotations

from starlette.requests import Request

from service.api.context import Context
from service.api.health import readiness
from service.api.listings import known_triggers
from service.console.page import Shown

LIMIT = 8


async def now(context: Context, request: Request) -> Shown:
    """Everything at a glance."""
    views = context.views
    values = {
        "title": "Now",
        "ready": await readiness(context),
        "triggers": await known_triggers(context),
        "unfinished": await views.unfinished(),
        "running": (await views.runs(state="running", limit=LIMIT))["runs"],
        "waiting": (await views.runs(state="waiting", limit=LIMIT))["runs"],
        "latest": (await views.runs(limit=LIMIT))["runs"],
    }
    return Shown("now.html", values)
