"""Gates: a person approves or rejects, which is an event of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.bodies import DecideBody
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.problems import Problem
from service.api.requests import read_model
from service.api.runs import found_run
from service.db.accept import Accepted
from service.db.decisions import DecideByEvent
from service.db.runs import DecideGate
from service.errors import NotFound
from service.model import GateState
from service.shapes import GateDecision, GateShape, RunDetail
from triggers.approval import Approval, Decision, approval_event
from triggers.base import Arrival
from triggers.event import Event
from triggers.match import offer

Verb = Literal["approve", "reject"]

DECISIONS: Mapping[str, tuple[Decision, GateState]] = {
    "approve": ("approved", GateState.PASSED),
    "reject": ("rejected", GateState.FAILED),
}


async def approve(context: Context, request: Request) -> Response:
    """Let the run pass."""
    return await _decide(context, request, "approve")


async def reject(context: Context, request: Request) -> Response:
    """Stop the run."""
    return await _decide(context, request, "reject")


async def _decide(context: Context, request: Request, verb: Verb) -> Response:
    body = await read_model(request, context.limit_bytes, DecideBody)
    run = await found_run(context, request)
    gate = _named(run, request.path_params["gate"])
    if run["finished_at"] is not None and gate["state"] == GateState.WAITING:
        raise Problem(409, f"run {run['id']} is {run['state']}: nothing passes its gates", state=run["state"])
    if gate["state"] == GateState.WAITING:
        accepted = await _record(context, run, gate, verb, body)
        if accepted is not None:
            return Json(_answer(run, gate, verb, body, accepted))
        run = await found_run(context, request)
        gate = _named(run, gate["name"])
    return Json(await _repeat(context, run, gate, verb, body))


def _named(run: RunDetail, name: str) -> GateShape:
    """The gate so called, or the only one before the stage so called. Raises `NotFound` or 409."""
    known = ", ".join(gate["name"] for gate in run["gates"]) or "none"
    exact = [gate for gate in run["gates"] if gate["name"] == name]
    found = exact or [gate for gate in run["gates"] if gate["target"] == name]
    if not found:
        raise NotFound(f"run {run['id']} has no gate {name[:80]!r}; its gates: {known}")
    waiting = [gate for gate in found if gate["state"] == GateState.WAITING]
    chosen = waiting if len(found) > 1 and waiting else found
    if len(chosen) > 1:
        several = ", ".join(gate["name"] for gate in chosen)
        raise Problem(409, f"several gates stand before {name[:80]!r}: name one of {several}")
    return chosen[0]


async def _record(context: Context, run: RunDetail, gate: GateShape, verb: Verb, body: DecideBody) -> Accepted | None:
    """Write decision and event in one transaction; None when somebody else decided meanwhile."""
    decision, state = DECISIONS[verb]
    event = approval_event(
        pipeline=run["pipeline"],
        run_id=run["id"],
        gate=gate["name"],
        decision=decision,
        by=body.by,
        reason=body.reason,
        now=context.daemon.clock.now(),
        subjects={gate["source"]: gate["subject"] or ""},
    )
    evidence = {**gate["evidence"], "decision": decision, "by": body.by, "event": str(event.key)}
    reason = body.reason or f"{decision} by {body.by}"
    decide = DecideGate(run["id"], run["pipeline"], gate["name"], state, reason, evidence, body.by)
    inbox = context.daemon.inbox
    inbox.refuse_when_busy()
    arrivals = [_arrival(context, event)]
    [accepted] = await inbox.submit(DecideByEvent(decide, inbox.operation_for(arrivals)))
    if accepted is not None:
        inbox.receipts(arrivals, accepted)
    told: Accepted | None = accepted
    return told


def _arrival(context: Context, event: Event) -> Arrival:
    return Arrival(event, [offer(binding, event) for binding in context.daemon.catalogue.bindings(Approval)])


def _answer(run: RunDetail, gate: GateShape, verb: Verb, body: DecideBody, accepted: Accepted) -> GateDecision:
    decision, state = DECISIONS[verb]
    return {
        "run": run["id"],
        "gate": gate["name"],
        "state": state.value,
        "decided_by": body.by,
        "reason": body.reason or f"{decision} by {body.by}",
        "runs": list(accepted.new_runs.values()),
    }


async def _repeat(context: Context, run: RunDetail, gate: GateShape, verb: Verb, body: DecideBody) -> GateDecision:
    """The same decision by the same person again changes nothing. Anything else on a decided gate is a 409."""
    evidence = gate["evidence"]
    if evidence.get("decision") != DECISIONS[verb][0] or gate["decided_by"] != body.by:
        by = f" by {gate['decided_by']}" if gate["decided_by"] else ""
        raise Problem(
            409,
            f"gate {gate['name']} of run {run['id']} is not waiting: it is {gate['state']}{by}",
            state=gate["state"],
            decided_by=gate["decided_by"],
            decided_at=gate["decided_at"],
        )
    event = await context.views.event(UUID(evidence["event"]), "")
    return {
        "run": run["id"],
        "gate": gate["name"],
        "state": gate["state"],
        "decided_by": body.by,
        "reason": gate["reason"],
        "runs": [one["run"] for one in event["outcomes"] if one["run"] is not None] if event else [],
    }


ENDPOINTS = tuple(
    Endpoint(
        method="POST",
        path=f"/api/v1/runs/{{run}}/gates/{{gate}}/{verb}",
        summary=summary,
        tag="gates",
        handler=handler,
        body=DecideBody,
        answers={200: GateDecision},
        problems=(404, 409, 413, 415, 422, 429),
    )
    for verb, handler, summary in (
        ("approve", approve, "Let a waiting run pass a gate, named by itself or by the stage behind it"),
        ("reject", reject, "Stop a waiting run at a gate"),
    )
)
