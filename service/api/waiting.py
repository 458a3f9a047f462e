"""Gates that wait for a person: what is asked, on which grounds, and who has said what."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.by_name import AFTER
from service.api.context import Context
from service.api.endpoint import LIMIT, Endpoint
from service.api.problems import Problem
from service.api.requests import known_only, query_limit, whole
from service.api.runs import refuse_unknown_pipeline
from service.db.people import GatesPage, waiting_gates

QUERY = {
    "pipeline": "only gates of runs of this pipeline",
    "gate": "only gates of this name, or before the stage of this name",
    "after": AFTER,
    "limit": LIMIT,
}


async def gates(context: Context, request: Request) -> Response:
    """A page of gates that wait."""
    known_only(request, QUERY)
    asked, limit = request.query_params, query_limit(request)
    pipeline = asked.get("pipeline") or None
    page = await waiting_gates(
        context.daemon.reads, _place(asked.get("after", "")), limit, pipeline, asked.get("gate") or None
    )
    if not page["gates"] and pipeline:
        await refuse_unknown_pipeline(context, pipeline)
    following = page["next"]
    return Json({**page, "next": None if following is None else f"{following[0]}/{following[1]}"})


def _place(given: str) -> tuple[int, str] | None:
    """A run and one of its gates, as `next` tells them. Raises 422."""
    run, _, gate = given.partition("/")
    found = whole(run)
    if given and (found is None or not gate):
        raise Problem(422, f"after={given[:80]!r}: expected `next` of the page before")
    return None if found is None else (found, gate)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/gates",
        summary="Gates that wait for somebody, of the newest run first: what is asked, of whom, and on which grounds",
        tag="gates",
        handler=gates,
        query=QUERY,
        answers={200: GatesPage},
        problems=(404, 422),
    ),
)
