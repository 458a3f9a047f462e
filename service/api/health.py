"""Health: is the process alive, should traffic come here, and the numbers behind it."""

from __future__ import annotations

import asyncio
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.context import Context
from service.api.endpoint import Content, Endpoint
from service.api.exposition import MEDIA_TYPE, exposition
from service.errors import DatabaseUnavailable
from service.shapes.answers import Check, ReadyAnswer
from triggers.base import ListenerState, TriggerStatus

PROBE_TIMEOUT_S = 2.0


async def livez(context: Context, request: Request) -> Response:
    """The loop turns: that it answers says so."""
    return Json({"alive": True})


async def readyz(context: Context, request: Request) -> Response:
    """200 or 503, with the same document.

    A trigger that still starts makes the daemon unready; one that retries does not: its source is away, and sending
    the traffic of the others elsewhere would not bring it back. Neither does one that is silent.
    """
    answer = await readiness(context)
    ready = answer["ready"]
    return Json(answer, 200 if ready else 503, {} if ready else {"Retry-After": "1"})


async def readiness(context: Context) -> ReadyAnswer:
    """What speaks for and against sending traffic here."""
    daemon = context.daemon
    triggers = {status.binding: status for listener in daemon.listeners for status in listener.statuses()}
    starting = [name for name, status in triggers.items() if status.state is ListenerState.STARTING]
    checks: dict[str, Check] = {
        "database": await _database(context),
        "draining": _check(not daemon.draining, "it is stopping" if daemon.draining else ""),
        "triggers": _check(not starting, f"{', '.join(starting)}: starting" if starting else ""),
    }
    ready = all(check["ok"] for check in checks.values())
    return {
        "ready": ready,
        "checks": checks,
        "triggers": {name: _told(one, daemon.silence.since(name)) for name, one in triggers.items()},
        "sinks": await _sinks(context) if checks["database"]["ok"] else {},
    }


def _told(status: TriggerStatus, silent_since: datetime | None) -> str:
    silent = "" if silent_since is None else f"silent since {silent_since:%Y-%m-%d %H:%M:%S} UTC"
    note = "; ".join(part for part in (silent, status.note) if part)
    return f"{status.state.value}: {note}" if note else status.state.value


async def _database(context: Context) -> Check:
    outage = context.daemon.writer.outage
    if outage is not None:
        return _check(False, f"Postgres takes no writes: {outage}")
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await context.views.database()
    except DatabaseUnavailable as error:
        return _check(False, str(error))
    except TimeoutError:
        return _check(False, f"Postgres did not answer within {PROBE_TIMEOUT_S:g} s")
    return _check(True, "")


async def _sinks(context: Context) -> dict[str, str]:
    """What holds each sink up; none makes the daemon unready."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            told = await context.views.sinks(context.sinks)
    except (DatabaseUnavailable, TimeoutError):
        return {}
    return {one["name"]: f"{one['lag_s']:.0f} s behind: {one['note']}" if one["note"] else "delivering" for one in told}


def _check(ok: bool, note: str) -> Check:
    return {"ok": ok, "note": note}


async def metrics(context: Context, request: Request) -> Response:
    """Everything countable, for Prometheus."""
    return Response(await exposition(context), media_type=MEDIA_TYPE)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/livez",
        summary="Whether the process is alive",
        tag="health",
        handler=livez,
        answers={200: dict[str, bool]},
        open=True,
    ),
    Endpoint(
        method="GET",
        path="/readyz",
        summary="Whether traffic should come here, and what speaks against it",
        tag="health",
        handler=readyz,
        answers={200: ReadyAnswer, 503: ReadyAnswer},
        open=True,
    ),
    Endpoint(
        method="GET",
        path="/metrics",
        summary="Counters and gauges in Prometheus' text format",
        tag="health",
        handler=metrics,
        answers={200: Content(media_type="text/plain")},
    ),
)
