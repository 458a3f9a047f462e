"""What needs a person: gates that wait, and failed runs; and what one does about them."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from starlette.requests import Request

from service.api.bodies import AbandonBody, DecideBody, ResumeBody, SkipBody
from service.api.context import Context
from service.api.gates import decide, named
from service.api.problems import Problem
from service.api.requests import path_id, query_id
from service.api.reviews import reviews_page
from service.api.runs import run_called
from service.api.standing import require_gate
from service.api.steering import abandon_run, asking_behind, cancel_run, resume_run, skip_stage
from service.console.page import Done, Form, Shown, object_of, who
from service.db.people import waiting_gates

LIMIT = 20


async def reviews(context: Context, request: Request) -> Shown:
    """Both queues."""
    run, gate = query_id(request, "run"), request.query_params.get("gate", "")
    before = query_id(request, "before")
    asked = await waiting_gates(context.daemon.reads, None if run is None else (run, gate), LIMIT)
    failed = await reviews_page(context, None, before, LIMIT)
    groups = {group.name: list(group.people) for group in context.daemon.settings.groups}
    values = {"title": "Reviews", "asked": asked, "failed": failed, "groups": groups, "later": run or before}
    return Shown("reviews.html", {**values, "asks": partial(asks, context)})


def asks(context: Context, pipeline: str, stage: str) -> bool:
    """Whether a gate behind a stage asks people: who goes on without the stage decides for them."""
    loaded = context.daemon.catalogue.pipelines.get(pipeline)
    return loaded is not None and bool(asking_behind(loaded, stage))


async def decided(context: Context, request: Request, form: Form) -> Done:
    """Approve or reject a gate: the same decision, event and checks as by API, command line or link."""
    verb: Literal["approve", "reject"] = "approve" if form.get("decision") == "approve" else "reject"
    if form.get("decision") not in ("approve", "reject"):
        raise Problem(422, "say whether you approve or reject")
    by, session = who(context, request, form)
    body = DecideBody(by=by, reason=form.get("reason", ""), subject=form.get("subject") or None)
    run = await run_called(context, path_id(request, "run", "run"))
    require_gate(request.scope, run["pipeline"])
    done = await decide(context, run, named(run, request.path_params["gate"]), verb, body)
    said = f"{by} has {'approved' if verb == 'approve' else 'rejected'} gate {done['gate']} of run {done['run']}"
    more = "more people must approve" if done["state"] == "waiting" else f"it is {done['state']}"
    note = f" ({done['note']})" if done["note"] else ""
    return Done(_back(form, run["id"]), f"{said}: {more}{note}.", session)


async def resuming(context: Context, request: Request) -> Shown:
    """What resuming would do, before it is done."""
    run_id = path_id(request, "run", "run")
    run = await run_called(context, run_id)
    loaded = context.daemon.catalogue.pipelines.get(run["pipeline"])
    moved = loaded is not None and loaded.version != run["version"]
    since, given = request.query_params.get("from"), request.query_params.get("params", "").strip()
    wanted = _changes(since, given) | {"on": request.query_params.get("on") or ("latest" if moved else "same")}
    plan = await resume_run(context, run_id, ResumeBody.model_validate({**wanted, "dry_run": True}))
    stages = [stage["name"] for stage in run["stages"]]
    return Shown(
        "resume.html",
        {"title": f"Resume run {run_id}", "run": run, "plan": plan, "since": since or "", "on": wanted["on"]}
        | {"params": given, "stages": stages, "loaded": loaded.version if loaded else None},
        live=None,
    )


async def resumed(context: Context, request: Request, form: Form) -> Done:
    """Queue the run again."""
    by, session = who(context, request, form)
    wanted = _changes(form.get("from"), form.get("params", "")) | {"by": by, "on": form.get("on") or "same"}
    run_id = path_id(request, "run", "run")
    await resume_run(context, run_id, ResumeBody.model_validate(wanted))
    return Done(f"/runs/{run_id}", f"{by} has resumed run {run_id}.", session)


def _changes(since: str | None, params: str) -> dict[str, Any]:
    """What is to be other than it was. Raises 422."""
    found: dict[str, Any] = {"from": since} if since else {}
    return found | ({"params": object_of(params)} if params else {})


async def skipped(context: Context, request: Request, form: Form) -> Done:
    """Go on without a stage."""
    by, session = who(context, request, form)
    run_id, stage = path_id(request, "run", "run"), form.get("stage", "")
    run = await run_called(context, run_id)
    loaded = context.daemon.catalogue.pipelines.get(run["pipeline"])
    on: Literal["same", "latest"] = "latest" if loaded is not None and loaded.version != run["version"] else "same"
    body = SkipBody(by=by, reason=form.get("reason", ""), on=on)
    await skip_stage(context, request.scope, run_id, stage, body)
    return Done(f"/runs/{run_id}", f"{by} has passed over {stage} in run {run_id}.", session)


async def abandoned(context: Context, request: Request, form: Form) -> Done:
    """Close the review of a failed run."""
    by, session = who(context, request, form)
    run_id = path_id(request, "run", "run")
    await abandon_run(context, run_id, AbandonBody(by=by, reason=form.get("reason", "")))
    return Done(_back(form, run_id), f"{by} has given up run {run_id}: it stays failed.", session)


async def cancelled(context: Context, request: Request, form: Form) -> Done:
    """Ask a run to end."""
    by, session = who(context, request, form)
    run_id = path_id(request, "run", "run")
    found = await cancel_run(context, run_id, by)
    said = "is cancelled" if found["state"] == "cancelled" else "was asked to stop"
    return Done(f"/runs/{run_id}", f"Run {run_id} {said}.", session)


def _back(form: Form, run_id: int) -> str:
    return "/reviews" if form.get("back") == "reviews" else f"/runs/{run_id}"
