"""The run log as server-sent events: what happens, as it happens, taken up where it broke off."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import orjson
from starlette.requests import Request
from starlette.responses import Response

from service.api.context import Context
from service.api.endpoint import Content, Endpoint
from service.api.problems import Problem
from service.api.requests import known_only, query_id
from service.api.runs import refuse_unknown_pipeline
from service.api.watched import MEDIA_TYPE, Stream
from service.errors import DatabaseUnavailable, NotFound
from service.log_stream import CHANGED, Batch, Place, Told, TooSlow

QUERY = {
    "run": "only what happens to this run",
    "pipeline": "only what happens to runs of this pipeline",
    "after": "as the header Last-Event-ID, for a first request: only what comes after this place",
    "changes": "how many `changed` a page knows of: where there have been more, one is told at once",
}
EVENTS = (
    "Each entry of the run log is an event with its place as id. Besides: `changed`, without an id, says that something"
    " happened which is in no log, such as a pause (not where a run is asked for); `anew`, that the log ends before the"
    " place that was asked for, since it was restored, and that the stream goes on from its own id."
)
# How soon a browser comes again after a cut.
AGAIN = b"retry: 1000\n\n"


async def stream(context: Context, request: Request) -> Response:
    """Entries of the run log, each once and in order."""
    known_only(request, QUERY)
    run, pipeline = query_id(request, "run"), request.query_params.get("pipeline") or None
    changes = query_id(request, "changes")
    await _refuse_unknown(context, run, pipeline)
    given = request.headers.get("last-event-id", "").strip() or request.query_params.get("after", "")
    place = Place.read(given) if given else None
    if given and place is None:
        raise Problem(422, f"{given[:80]!r} is no place in the log: give the id of an event of this stream")

    def frames(batch: Batch) -> bytes:
        if run is None and pipeline is None:
            told = batch.frames
        else:
            told = b"".join([one.frame for one in batch.entries if _wanted(one, run, pipeline)])
        # All that is to be known of a run is in the log.
        return told or (CHANGED if batch.changed and run is None else b"")

    async def sent() -> AsyncIterator[bytes]:
        yield AGAIN
        try:
            after, anew = await _begin(context, place)
        except DatabaseUnavailable:
            return
        if anew:
            yield anew
        async with aclosing(_following(context, after, changes)) as batches:
            async for batch in batches:
                if context.daemon.draining:
                    return
                yield frames(batch) or _passed(batch)

    return Stream(sent(), context.watched)


async def _refuse_unknown(context: Context, run: int | None, pipeline: str | None) -> None:
    """Raises `NotFound` for what nothing can ever be told of."""
    if run is not None and await context.views.run_state(run) is None:
        raise NotFound(f"there is no run {run}: `tidemill runs` lists them")
    if pipeline is not None:
        await refuse_unknown_pipeline(context, pipeline)


async def _begin(context: Context, place: Place | None) -> tuple[Place | None, bytes]:
    """Where to go on, and what says so where that is not where it broke off: a restored log has not come there yet."""
    if place is None or place <= (end := await context.stream.end()):
        return place, b""
    told = orjson.dumps({"asked_after": str(place), "why": "the log ends before that: it was restored; look again"})
    return end, b"event: anew\nid: %b\ndata: %b\n\n" % (str(end).encode(), told)


async def _following(context: Context, place: Place | None, changes: int | None) -> AsyncGenerator[Batch, None]:
    """Ends where the listener is too slow, or the database is away: it comes again with its last place."""
    try:
        async with aclosing(context.stream.follow(place, changes)) as batches:
            async for batch in batches:
                yield batch
    except (TooSlow, DatabaseUnavailable):
        return


def _wanted(one: Told, run: int | None, pipeline: str | None) -> bool:
    told = one.told
    return (run is None or told.get("run") == run) and (pipeline is None or told.get("pipeline") == pipeline)


def _passed(batch: Batch) -> bytes:
    """Nothing to tell; but the place moves on."""
    return b"id: %b\n\n" % str(batch.entries[-1].place).encode() if batch.entries else b": nothing new\n\n"


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/stream",
        summary="What happens, as server-sent events; `Last-Event-ID` takes it up where it broke off",
        tag="system",
        handler=stream,
        query=QUERY,
        headers={"Last-Event-ID": "the id of the last event that was seen"},
        answers={200: Content(media_type=MEDIA_TYPE, schema={"type": "string", "description": EVENTS})},
        problems=(404, 422),
    ),
)
