"""What people do to runs: cancel, resume, skip a stage, abandon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from service.api.answers import Json
from service.api.bodies import AbandonBody, ByBody, ResumeBody, SkipBody
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.problems import Problem
from service.api.requests import path_id, read_model
from service.api.standing import require_gate
from service.db.envelopes import whole_event
from service.db.rows import Row
from service.db.steering import Abandon, Cancel, Resume
from service.errors import NotFound
from service.loops.fanout import FanOut
from service.loops.live import LiveRun, recall
from service.model import RunState, RunView
from service.resumption import Before, Resumption, needing, passing_over, plan_resumption, unfinished_lists
from service.shapes.answers import RunState as StateShape
from service.shapes.resume import GatePlanShape, ResumeAnswer, StagePlanShape
from stages.gates.approval import Approval
from stages.params import plain_params
from stages.pipeline import Pipeline
from stages.secret_params import secret_paths, unmasked, without

RESUMABLE = (RunState.FAILED, RunState.CANCELLED)


async def cancel(context: Context, request: Request) -> Response:
    """Ask for a run to end. Asking again answers the state it has by then."""
    run_id, body = path_id(request, "run", "run"), await read_model(request, context.limit_bytes, ByBody)
    return Json(await cancel_run(context, run_id, body.by))


async def cancel_run(context: Context, run_id: int, by: str) -> StateShape:
    """Ask for the end of a run, and tell the state it has by then. Raises `NotFound` and 409."""
    await _known_state(context, run_id)
    [state] = await context.write(Cancel(run_id, by))
    if state is None and (now := await _known_state(context, run_id)) != RunState.CANCELLED:
        raise Problem(409, f"run {run_id} is {now}: there is nothing left to cancel", state=now)
    return {"run": run_id, "state": state.value if state else RunState.CANCELLED.value}


async def resume(context: Context, request: Request) -> Response:
    """Queue a failed or cancelled run again, as it was or with changes; or only tell what that would do."""
    body = await read_model(request, context.limit_bytes, ResumeBody)
    answer = await resume_run(context, path_id(request, "run", "run"), body)
    return Json(answer, 200 if body.dry_run else 202)


async def resume_run(context: Context, run_id: int, body: ResumeBody) -> ResumeAnswer:
    """Queue it again, or with `dry_run` only tell. Raises `NotFound`, `InvalidParams` and 409."""
    row = await _resumable(context, run_id)
    changes = body.since is not None or body.params is not None or body.on == "latest"
    if not changes and not body.dry_run:
        _refuse_gone_version(context, row)
        await _do(context, Resume(row["id"], body.by, epoch=row["epoch"]))
        return {"run": row["id"], "state": RunState.QUEUED.value, "plan": [], "gates": [], "note": _note(row)}
    pipeline = context.daemon.catalogue.pipeline(row["pipeline"])
    if body.on != "latest":
        _refuse_gone_version(context, row)
    params = _amended(pipeline, row, body.params)
    run = await _as_it_stands(context, row, pipeline, params, body.since)
    planned = plan_resumption(run, _before(row), since=body.since)
    if not body.dry_run:
        await _do(context, _resumption(row, pipeline, body.by, params, planned, body.since))
    return _answer(row, planned, dry_run=body.dry_run)


async def skip(context: Context, request: Request) -> Response:
    """Pass over a stage of a failed run, where what comes after can do without it, and go on."""
    body = await read_model(request, context.limit_bytes, SkipBody)
    run_id, stage = path_id(request, "run", "run"), request.path_params["stage"]
    answer = await skip_stage(context, request.scope, run_id, stage, body)
    return Json(answer, 200 if body.dry_run else 202)


async def skip_stage(context: Context, scope: Scope, run_id: int, stage: str, body: SkipBody) -> ResumeAnswer:
    """Go on without a stage, or with `dry_run` only tell. Raises `NotFound`, 403 and 409."""
    row = await _resumable(context, run_id)
    if body.on != "latest":
        _refuse_gone_version(context, row)
    pipeline = context.daemon.catalogue.pipeline(row["pipeline"])
    _refuse_needed(pipeline, stage)
    _require_gates(scope, pipeline, stage)
    params = _amended(pipeline, row, None)
    run = await _as_it_stands(context, row, pipeline, params)
    if stage in run.view.tried and run.view.tried[stage].output is not None:
        raise Problem(409, f"{stage} of run {row['id']} has its result: there is nothing to skip")
    planned = passing_over(plan_resumption(run, _before(row)), stage, _told(body))
    if not body.dry_run:
        resume = _resumption(row, pipeline, body.by, params, planned)
        detail = {"stage": stage, "reason": body.reason, **resume.detail}
        await _do(context, replace(resume, action="skipped", skip=stage, reason=_told(body), detail=detail))
    return _answer(row, planned, dry_run=body.dry_run)


def _refuse_needed(pipeline: Pipeline, stage: str) -> None:
    """Raises `NotFound` for a stage there is not, and a problem for one that others cannot do without."""
    names = [one.name for one in pipeline.plan.order]
    if stage not in names:
        raise NotFound(f"pipeline {pipeline.name} has no stage {stage[:80]!r}; it has {', '.join(names)}")
    needed_by = needing(pipeline.plan.stages, stage)
    if needed_by:
        raise Problem(
            409,
            f"{stage} cannot be skipped: {' and '.join(needed_by)} cannot do without its output (where it can, "
            f"annotate its parameter as {stage}: TYPE | None)",
            needed_by=needed_by,
        )


def asking_behind(pipeline: Pipeline, stage: str) -> list[str]:
    """The gates behind a stage that ask people: who skips it passes them."""
    behind = (gate for gates in pipeline.plan.gates.values() for gate in gates if gate.src == stage)
    return [gate.name for gate in behind if isinstance(gate.gate, Approval)]


def _require_gates(scope: Scope, pipeline: Pipeline, stage: str) -> None:
    """Raises 403 for whoever would have a run pass gates that people decide, without being one who may."""
    asked = asking_behind(pipeline, stage)
    if asked:
        named = f"gate{'s' if len(asked) > 1 else ''} {' and '.join(asked)}"
        require_gate(scope, pipeline.name, f"skipping {stage}, so that nobody decides {named},")


async def abandon(context: Context, request: Request) -> Response:
    """Close the review of a failed run: nobody will resume it."""
    run_id, body = path_id(request, "run", "run"), await read_model(request, context.limit_bytes, AbandonBody)
    return Json(await abandon_run(context, run_id, body))


async def abandon_run(context: Context, run_id: int, body: AbandonBody) -> StateShape:
    """Close the review of a run. Raises `NotFound` and 409."""
    [given_up] = await context.write(Abandon(run_id, body.by, body.reason))
    now = await _known_state(context, run_id)
    if not given_up and now != RunState.FAILED:
        raise Problem(409, f"run {run_id} is {now}: only a failed run can be abandoned", state=now)
    return {"run": run_id, "state": now}


def _told(body: SkipBody) -> str:
    return f"skipped by {body.by}: {body.reason}"


async def _known_state(context: Context, run_id: int) -> str:
    state = await context.views.run_state(run_id)
    if state is None:
        raise NotFound(f"there is no run {run_id}: `tidemill runs` lists them")
    return state


async def _resumable(context: Context, run_id: int) -> Row:
    row = await context.daemon.reads.row("show_run", run_id)
    if row is None:
        raise NotFound(f"there is no run {run_id}: `tidemill runs` lists them")
    if row["state"] not in RESUMABLE:
        now = row["state"]
        raise Problem(409, f"run {run_id} is {now}: only a failed or cancelled run can be resumed", state=now)
    return row


def _refuse_gone_version(context: Context, row: Row) -> None:
    """A run goes on with other code than it began with only where somebody says so."""
    loaded = context.daemon.catalogue.pipelines.get(row["pipeline"])
    if loaded is not None and loaded.version != row["version"]:
        raise Problem(
            409,
            f"run {row['id']} was made by version {row['version']} of {row['pipeline']}, and {loaded.version} is "
            f"loaded: `tidemill resume {row['id']} --on latest` shows which stages run again, and goes on with that; "
            f"to replay on a version again, replay its event: `tidemill replay EVENT --on VERSION`",
            version=row["version"],
            loaded=loaded.version,
        )


def _amended(pipeline: Pipeline, row: Row, changed: Mapping[str, Any] | None) -> dict[str, Any]:
    """The run's parameters with those changed, checked. Raises `InvalidParams`."""
    before = orjson.loads(row["params"])
    params = {**before, **unmasked(changed or {}, before, secret_paths(pipeline.params))}
    return plain_params(pipeline.parse_params(params))


async def _as_it_stands(
    context: Context, row: Row, pipeline: Pipeline, params: Mapping[str, Any], since: str | None = None
) -> LiveRun:
    """The run with all that is on record, and the lists of mapped stages that are done in part."""
    event = whole_event(row["envelope"])
    run = LiveRun(row["id"], row["epoch"], pipeline, event, params, RunView())
    attempts, gates = await context.daemon.reads.progress([row["id"]])
    recall(run, attempts.get(row["id"], ()), gates.get(row["id"], ()), row["epoch"], context.daemon.clock.now())
    joined = await context.daemon.reads.joined([row["id"]])
    if row["id"] in joined:
        run.share(joined[row["id"]])
    for stage in unfinished_lists(run, since):
        await FanOut(context.daemon.store).look(run, stage)
    return run


def _before(row: Row) -> Before:
    definition = orjson.loads(row["definition"]) if row["definition"] else {}
    code = {stage["name"]: stage["code_digest"] for stage in definition.get("stages", ())}
    declared = definition.get("gates", ())
    gates = {gate["name"]: (gate["source"], gate["target"], gate.get("digest")) for gate in declared}
    return Before(row["version"], orjson.loads(row["params"]), code, gates)


def _resumption(
    row: Row, pipeline: Pipeline, by: str, params: Mapping[str, Any], planned: Resumption, since: str | None = None
) -> Resume:
    before, secret = orjson.loads(row["params"]), secret_paths(pipeline.params)
    old, new = without(before, secret), without(params, secret)
    changed = {name: {"from": old.get(name), "to": new[name]} for name in params if before.get(name) != params[name]}
    detail = {
        "from_stage": since,
        "params": changed,
        "version": None if pipeline.version == row["version"] else {"from": row["version"], "to": pipeline.version},
        "again": [*planned.stale, *planned.forced],
        "gates_anew": [gate.gate for gate in planned.gates if gate.passed],
        "items_again": {stage: len(items) for stage, items in planned.items.items()},
    }
    return Resume(
        row["id"],
        by,
        "amended" if changed else "resumed",
        epoch=row["epoch"],
        stale=planned.stale,
        forced=planned.forced,
        items=planned.items,
        gates=[gate.gate for gate in planned.gates],
        version=pipeline.version,
        params=orjson.dumps(params),
        detail={name: value for name, value in detail.items() if value},
    )


async def _do(context: Context, operation: Resume) -> None:
    [resumed] = await context.write(operation)
    if not resumed:
        now = await _known_state(context, operation.run_id)
        raise Problem(409, f"run {operation.run_id} is {now}: somebody was quicker; look again", state=now)


def _answer(row: Row, planned: Resumption, *, dry_run: bool) -> ResumeAnswer:
    state = row["state"] if dry_run else RunState.QUEUED.value
    stages: list[StagePlanShape] = [
        {"stage": one.stage, "action": one.action, "why": one.why} for one in planned.stages
    ]
    gates: list[GatePlanShape] = [{"gate": one.gate, "why": one.why} for one in planned.gates]
    return {"run": row["id"], "state": state, "plan": stages, "gates": gates, "note": _note(row)}


def _note(row: Row) -> str | None:
    if row["abandoned_at"] is None:
        return None
    given_up = f"{row['abandoned_by']} gave it up on {row['abandoned_at']:%Y-%m-%d %H:%M} UTC"
    return f"{given_up} ({row['abandon_reason']}): resuming takes that back"


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/v1/runs/{run}/cancel",
        summary="Cancel a run; any state but `cancelled` means that it was asked to stop, or to clean up first",
        tag="runs",
        handler=cancel,
        body=ByBody,
        needs_body=False,
        answers={200: StateShape},
        problems=(404, 409, 413, 415, 422, 429),
    ),
    Endpoint(
        method="POST",
        path="/api/v1/runs/{run}/resume",
        summary="Queue a failed or cancelled run again, as it was or with changes; `dry_run` only tells what would run",
        tag="runs",
        handler=resume,
        body=ResumeBody,
        needs_body=False,
        answers={200: ResumeAnswer, 202: ResumeAnswer},
        problems=(404, 409, 413, 415, 422, 429),
    ),
    Endpoint(
        method="POST",
        path="/api/v1/runs/{run}/stages/{stage}/skip",
        summary="Pass over a stage of a failed run, where what comes after can do without; `dry_run` only tells",
        tag="runs",
        handler=skip,
        body=SkipBody,
        answers={200: ResumeAnswer, 202: ResumeAnswer},
        problems=(403, 404, 409, 413, 415, 422, 429),
    ),
    Endpoint(
        method="POST",
        path="/api/v1/runs/{run}/abandon",
        summary="Close the review of a failed run: nobody will resume it",
        tag="runs",
        handler=abandon,
        body=AbandonBody,
        answers={200: StateShape},
        problems=(404, 409, 413, 415, 422, 429),
    ),
)
