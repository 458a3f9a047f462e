"""The audit log, for admins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import orjson
from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.context import Context
from service.api.endpoint import BEFORE, LIMIT, Content, Endpoint
from service.api.problems import Problem
from service.api.requests import flag, known_only, query_id, query_limit, whole
from service.api.watched import MEDIA_TYPE, Stream
from service.api.window import TIMES, moment
from service.callers import Right
from service.db.rows import Row
from service.log_stream import CHANGED
from service.shapes.access import AuditEntry, AuditPage

# Rows that are looked through at once for what no index finds.
AT_ONCE = 20_000
QUERY = {
    "who": "only what was done by this name",
    "action": "only what has this in its action or object, such as `cancel` or `/runs/12`",
    "run": "only what was done to this run",
    "refused": "`true`: only what was refused, or failed",
    **TIMES,
    "limit": LIMIT,
    "before": BEFORE,
    "follow": "`true` streams that there is more, for an admin who looks to look again",
}
FOLLOWED = "`changed`, at first and whenever the log has grown: what is in it, a page of it tells."
# Between two times that this is told, however much is done.
GATHER_S = 0.25


async def listed(context: Context, request: Request) -> Response:
    """Who did what, newest first; or a stream that tells when there is more."""
    known_only(request, QUERY)
    if flag(request.query_params, "follow"):
        return Stream(_follow(context), context.watched)
    return Json(await audit_page(context, request.query_params, query_id(request, "before"), query_limit(request)))


async def _follow(context: Context) -> AsyncIterator[bytes]:
    """That it has grown, at once and whenever it has; ends when the daemon stops."""
    news = context.daemon.audited
    told = None
    while not context.daemon.draining:
        seen = news.count
        yield CHANGED if seen != told else b": nothing new\n\n"
        told = seen
        await asyncio.sleep(GATHER_S)
        await news.changed(seen)


async def audit_page(context: Context, asked: Mapping[str, str], before: int | None, limit: int) -> AuditPage:
    """A page of it. Raises 422."""
    run = whole(asked["run"]) if asked.get("run") else None
    if asked.get("run") and run is None:
        raise Problem(422, f"run={asked['run'][:80]!r}: expected a whole number, 0 or more")
    refused = flag(asked, "refused")
    times = moment(asked, "since"), moment(asked, "until")
    chosen = (before, run, asked.get("who") or None, asked.get("action") or None, refused, *times)
    rows = await context.daemon.reads.fetch("list_audit", *chosen, limit, AT_ONCE)
    found = [row for row in rows if row["seq"] is not None]
    following = found[-1]["seq"] if len(found) == limit else None
    if following is None and rows and rows[0]["looked"] == AT_ONCE:
        following = rows[0]["looked_to"]
    return {"entries": [_entry(row) for row in found], "next": following}


def _entry(row: Row) -> AuditEntry:
    return {
        "seq": row["seq"],
        "at": row["at"],
        "request": str(row["request"]),
        "answer": row["answer"],
        "who": row["who"],
        "said": row["said"],
        "via": row["via"],
        "known_as": row["known_as"],
        "address": row["address"],
        "action": row["action"],
        "object": row["object"],
        "run": row["run_id"],
        "detail": orjson.loads(row["detail"]),
    }


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/audit",
        summary="Who did what, known how and from where, with what answer; newest first",
        tag="access",
        handler=listed,
        query=QUERY,
        answers={200: (AuditPage, Content(media_type=MEDIA_TYPE, schema={"type": "string", "description": FOLLOWED}))},
        problems=(422,),
        only=Right.ADMIN,
    ),
)
