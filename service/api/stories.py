"""Runs as data: why their stages were computed, how two of them differ, and the audit report of one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from service.api.answers import Json
from service.api.context import Context
from service.api.endpoint import Content, Endpoint
from service.api.problems import Problem
from service.api.requests import known_only, path_id, query_id
from service.db.stories import Stories
from service.diff import RunDiff, diff
from service.errors import NotFound
from service.explain import Explanation, explain
from service.report import Report, report
from service.report_page import HEADERS, page
from service.story import Story

EXPLAIN_QUERY = {
    "with": "the run to compare with; default: the one of this pipeline that was begun before it",
    "stage": "only this stage",
}


async def explain_run(context: Context, request: Request) -> Response:
    """Stage by stage, what changed since another run of the pipeline."""
    known_only(request, EXPLAIN_QUERY)
    stories = Stories(context.daemon.reads)
    run = await _story(stories, path_id(request, "run", "run"))
    given = query_id(request, "with")
    other = given if given is not None else await stories.before(run)
    since = await _story(stories, other) if other is not None else None
    if since is not None and since.pipeline != run.pipeline:
        raise Problem(422, f"run {since.id} is one of {since.pipeline}, not of {run.pipeline}: keys are not comparable")
    return Json(_only(explain(run, since), request.query_params.get("stage")))


def _only(found: Explanation, stage: str | None) -> Explanation:
    if not stage:
        return found
    kept = [one for one in found["stages"] if one["stage"] == stage]
    if not kept:
        known = ", ".join(one["stage"] for one in found["stages"])
        raise NotFound(f"run {found['run']} has no stage {stage[:80]!r}; it has {known}")
    return {**found, "stages": kept}


async def diff_runs(context: Context, request: Request) -> Response:
    """Two runs side by side."""
    stories = Stories(context.daemon.reads)
    a = await _story(stories, path_id(request, "run", "run"))
    return Json(diff(a, await _story(stories, path_id(request, "other", "run"))))


async def report_json(context: Context, request: Request) -> Response:
    """The audit record of a run."""
    return Json(await _report(context, request))


async def report_html(context: Context, request: Request) -> Response:
    """The same as a page to keep or to print."""
    return HTMLResponse(page(await _report(context, request)), headers=HEADERS)


async def _report(context: Context, request: Request) -> Report:
    stories = Stories(context.daemon.reads)
    run = await _story(stories, path_id(request, "run", "run"))
    return report(run, await stories.around(run), context.daemon.clock.now())


async def _story(stories: Stories, run_id: int) -> Story:
    found = await stories.story(run_id)
    if found is None:
        raise NotFound(f"there is no run {run_id}: `tidemill runs` lists them")
    return found


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/runs/{run}/explain",
        summary="Why each stage was computed or its result used again: what of its key changed since another run",
        tag="runs",
        handler=explain_run,
        query=EXPLAIN_QUERY,
        answers={200: Explanation},
        problems=(404, 422),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/runs/{run}/diff/{other}",
        summary="Two runs side by side: params, event, code, inputs, outputs, metrics, gates, timings",
        tag="runs",
        handler=diff_runs,
        answers={200: RunDiff},
        problems=(404,),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/runs/{run}/report",
        summary="The audit record: who, what, when, from which event, code and data by digest, gates, approvals",
        tag="runs",
        handler=report_json,
        answers={200: Report},
        problems=(404,),
    ),
    Endpoint(
        method="GET",
        path="/api/v1/runs/{run}/report.html",
        summary="The audit record as one page that needs nothing else",
        tag="runs",
        handler=report_html,
        answers={200: Content(media_type="text/html")},
        problems=(404,),
    ),
)
