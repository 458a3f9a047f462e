"""What the stages of a run logged: as pages, or as server-sent events while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.context import Context
from service.api.endpoint import LIMIT, Content, Endpoint
from service.api.problems import Problem
from service.api.requests import flag, known_only, path_id, query_id, query_limit, whole
from service.api.watched import MEDIA_TYPE, Stream
from service.errors import DatabaseUnavailable, NotFound
from service.logs.pages import Wanted
from service.model import FINISHED_RUNS
from service.shapes.logs import LogsPage
from stages.errors import StoreUnavailable
from stages.problems import nearest

STREAM_PAGE = 500
# Under load the run log grows all the time; a follower need not ask more often than a person can see.
GATHER_S = 0.05
QUERY = {
    "stage": "only lines of this stage",
    "item": "only lines of this item of a mapped stage, from 0",
    "attempt": "only lines of this attempt, from 1",
    "after": "only lines after this place: `next` of the page before",
    "limit": LIMIT,
    "follow": "`true` streams lines as they are logged until the run has finished, as `Accept: text/event-stream` does",
}


async def logs(context: Context, request: Request) -> Response:
    """A page of lines, or a stream of them."""
    known_only(request, QUERY)
    run_id = path_id(request, "run", "run")
    if await context.views.run_state(run_id) is None:
        raise NotFound(f"there is no run {run_id}: `tidemill runs` lists them")
    wanted = Wanted(
        stage=request.query_params.get("stage") or None,
        item=query_id(request, "item"),
        attempt=query_id(request, "attempt"),
    )
    if wanted.stage is not None:
        await _refuse_unknown_stage(context, run_id, wanted.stage)
    after = query_id(request, "after") or 0
    if _wants_stream(request):
        after = _last_seen(request) or after
        return Stream(_follow(context, run_id, wanted, after), context.watched)
    return Json(await context.logs.page(run_id, wanted, after=after, limit=query_limit(request)))


async def _refuse_unknown_stage(context: Context, run_id: int, stage: str) -> None:
    """Raises `NotFound` for what is no stage of the run's version, and was none of an earlier one's."""
    row = await context.daemon.reads.row("show_run", run_id)
    told = orjson.loads(row["definition"]) if row is not None and row["definition"] else None
    if told is None:
        return
    known = [one["name"] for one in (*told["stages"], *told.get("hooks", {}).values())]
    if stage in known:
        return
    attempts, _ = await context.daemon.reads.progress([run_id])
    if all(one["stage"] != stage for one in attempts.get(run_id, ())):
        raise NotFound(f"run {run_id} has no stage {stage[:80]!r}; it has {', '.join(known)}{nearest(stage, known)}")


def _wants_stream(request: Request) -> bool:
    asked = request.query_params
    return flag(asked, "follow") or (not asked.get("follow") and MEDIA_TYPE in request.headers.get("accept", ""))


def _last_seen(request: Request) -> int | None:
    given = request.headers.get("last-event-id", "").strip()
    found = whole(given)
    if given and found is None:
        raise Problem(422, f"Last-Event-ID {given[:80]!r} is no place in a log: give the id of an event of this stream")
    return found


async def _follow(context: Context, run_id: int, wanted: Wanted, after: int) -> AsyncIterator[bytes]:
    """Every line once, in order, then `end`. Ends without it when the daemon stops: the client comes again."""
    news = context.daemon.news
    while not context.daemon.draining:
        seen = news.count
        try:
            state = await context.views.run_state(run_id)
            page = await context.logs.page(run_id, wanted, after=after, limit=STREAM_PAGE)
        except (DatabaseUnavailable, StoreUnavailable):
            return
        for line in page["lines"]:
            after = line["seq"]
            yield _event("log", line, after)
        if len(page["lines"]) == STREAM_PAGE:
            continue
        if state is None or state in FINISHED_RUNS:
            yield _event("end", {"run": run_id, "state": state}, after)
            return
        yield b": waiting\n\n"
        await news.changed(seen)
        await asyncio.sleep(GATHER_S)


def _event(kind: str, data: Any, seq: int) -> bytes:
    return b"event: %b\nid: %d\ndata: %b\n\n" % (kind.encode(), seq, orjson.dumps(data))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/runs/{run}/logs",
        summary="What the stages of a run logged; as a stream, `Last-Event-ID` takes it up where it broke",
        tag="runs",
        handler=logs,
        query=QUERY,
        headers={"Last-Event-ID": "the last place that was seen of a stream"},
        answers={200: (LogsPage, Content(media_type=MEDIA_TYPE))},
        problems=(404, 422),
    ),
)
