"""The review queue: failed runs that wait for a person."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.context import Context
from service.api.endpoint import BEFORE, LIMIT, Endpoint
from service.api.requests import known_only, query_id, query_limit
from service.api.runs import refuse_unknown_pipeline
from service.db.stories import Stories
from service.reviews import ReviewsPage, review

QUERY = {"pipeline": "only runs of this pipeline", "before": BEFORE, "limit": LIMIT}


async def reviews(context: Context, request: Request) -> Response:
    """A page of failed runs that nobody has resumed or abandoned."""
    known_only(request, QUERY)
    pipeline = request.query_params.get("pipeline") or None
    page = await reviews_page(context, pipeline, query_id(request, "before"), query_limit(request))
    if not page["reviews"] and pipeline:
        await refuse_unknown_pipeline(context, pipeline)
    return Json(page)


async def reviews_page(context: Context, pipeline: str | None, before: int | None, limit: int) -> ReviewsPage:
    """Those below the run `before`, newest first."""
    found = await Stories(context.daemon.reads).in_review(pipeline=pipeline, before=before, limit=limit)
    loaded = context.daemon.catalogue.pipelines
    return {
        "reviews": [review(run, loaded[run.pipeline].version if run.pipeline in loaded else None) for run in found],
        "open": await context.views.reviews_open(),
        "next": found[-1].id if len(found) == limit else None,
    }


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/reviews",
        summary="Failed runs that wait for a person: what failed, why, on which data, and the commands that apply",
        tag="runs",
        handler=reviews,
        query=QUERY,
        answers={200: ReviewsPage},
        problems=(404, 422),
    ),
)
