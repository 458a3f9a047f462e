"""Gates: a person approves or rejects, which is an event of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.bodies import DecideBody
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.problems import Problem
from service.api.requests import read_model
from service.api.runs import found_run, run_called
from service.api.standing import require_gate
from service.callers import Right
from service.db.accept import Accepted
from service.db.decisions import DecideByEvent
from service.db.votes import DecideGate, Taken, Voted, needed_by
from service.errors import NotFound
from service.model import GateState
from service.roles import Standing, standing
from service.shapes.answers import RunDetail
from service.shapes.gates import CANCELLED, GateDecision, GateShape, VoteShape
from triggers.approval import Approval, Decision, approval_event
from triggers.base import Arrival
from triggers.event import Event
from triggers.match import offer

Verb = Literal["approve", "reject"]

DECISIONS: Mapping[str, Decision] = {"approve": "approved", "reject": "rejected"}
SHOWN_DIGEST = 12


async def approve(context: Context, request: Request) -> Response:
    """Let the run pass."""
    return await _decide(context, request, "approve")


async def reject(context: Context, request: Request) -> Response:
    """Stop the run."""
    return await _decide(context, request, "reject")


async def _decide(context: Context, request: Request, verb: Verb) -> Response:
    body = await read_model(request, context.limit_bytes, DecideBody)
    run = await found_run(context, request)
    require_gate(request.scope, run["pipeline"])
    return Json(await decide(context, run, named(run, request.path_params["gate"]), verb, body))


async def decide(
    context: Context, run: RunDetail, gate: GateShape, verb: Verb, body: DecideBody, link: UUID | None = None
) -> GateDecision:
    """Record a decision, by a one-time `link` or not; the same one again changes nothing. Raises 403 or 409."""
    refuse_ended(run, gate)
    if gate["state"] == GateState.WAITING:
        _check_subject(run, gate, body)
        stands = standing_of(context, run, gate, body.by)
        voted, accepted = await _record(context, run, gate, stands, DECISIONS[verb], body, link)
        if voted:
            runs = [] if accepted is None else [int(run_id) for run_id in accepted.new_runs.values()]
            return _answer(run, gate, voted.state.value, voted.decided_by, voted.reason, stands.note, runs)
        run = await run_called(context, run["id"])
        gate = named(run, gate["name"])
        refuse_ended(run, gate)
        _refuse(run, gate, voted, body)
    return await _repeat(context, run, gate, verb, body)


def named(run: RunDetail, name: str) -> GateShape:
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


def refuse_ended(run: RunDetail, gate: GateShape) -> None:
    """Raises 409 where the gate waits for nobody, for its run has ended."""
    if gate["state"] == CANCELLED:
        raise Problem(409, f"run {run['id']} is {run['state']}: nothing passes its gates", state=gate["state"])


def _check_subject(run: RunDetail, gate: GateShape, body: DecideBody) -> None:
    """Raises 409 where the decision is about another artifact than the gate is."""
    subject = gate["subject"] or ""
    if body.subject is None or subject.startswith(body.subject):
        return
    raise Problem(
        409,
        f"gate {gate['name']} of run {run['id']} asks about {subject[:SHOWN_DIGEST]}, not about"
        f" {body.subject[:SHOWN_DIGEST]}: look at the run again (tidemill show {run['id']}), then decide",
        state=gate["state"],
        subject=subject,
    )


def standing_of(context: Context, run: RunDetail, gate: GateShape, person: str) -> Standing:
    """In which role somebody decides. Raises 403 for who may not."""
    asked = _asked(gate)
    found = standing(person, asked, _groups(context), needed_by(gate["evidence"]), named=_named(gate))
    if not found.allowed:
        raise Problem(
            403,
            f"{person} may not decide gate {gate['name']} of run {run['id']}; who may: {found.note}",
            who_may=list(asked),
        )
    return found


def _asked(gate: GateShape) -> Sequence[str]:
    """Whom the gate asks for: what is in its evidence. A function's own evidence may mean anything by `by`."""
    asked: Any = gate["evidence"].get("by", ())
    if isinstance(asked, str):
        return [asked]
    return [str(one) for one in asked] if isinstance(asked, list) else []


def _named(gate: GateShape) -> bool:
    """Whether it asks for people one by one rather than for a role."""
    return gate["evidence"].get("named") is True


async def _record(
    context: Context,
    run: RunDetail,
    gate: GateShape,
    stands: Standing,
    decision: Decision,
    body: DecideBody,
    link: UUID | None,
) -> tuple[Voted, Accepted | None]:
    """Write the vote and its event in one transaction, if the vote counts. Raises 409 for one that may not."""
    inbox = context.daemon.inbox
    inbox.refuse_when_busy()
    needed = needed_by(gate["evidence"])
    via = "" if link is None else "link"
    decides = [_arrival(context, _event(context, run, gate, decision, body, decided=True, via=via))]
    votes = [_arrival(context, _event(context, run, gate, decision, body, decided=False, via=via))]
    vote = DecideGate(
        run_id=run["id"],
        pipeline=run["pipeline"],
        gate=gate["name"],
        decision=decision,
        by=body.by,
        reason=body.reason,
        needed=needed,
        subject=gate["subject"],
        role=stands.role,
        event_key=decides[0].event.key,
        vote_key=votes[0].event.key,
        link=link,
    )
    undecided = inbox.operation_for(votes) if needed > 1 else None
    [(voted, accepted)] = await inbox.submit(DecideByEvent(vote, inbox.operation_for(decides), undecided))
    if accepted is not None:
        inbox.receipts(votes if voted.state is GateState.WAITING else decides, accepted)
    return voted, accepted


def _event(
    context: Context, run: RunDetail, gate: GateShape, decision: Decision, body: DecideBody, *, decided: bool, via: str
) -> Event:
    return approval_event(
        pipeline=run["pipeline"],
        run_id=run["id"],
        gate=gate["name"],
        decision=decision,
        by=body.by,
        reason=body.reason,
        now=context.daemon.clock.now(),
        subjects={gate["source"]: gate["subject"] or ""},
        decided=decided,
        via=via,
    )


def _arrival(context: Context, event: Event) -> Arrival:
    return Arrival(event, [offer(binding, event) for binding in context.daemon.catalogue.bindings(Approval)])


def _refuse(run: RunDetail, gate: GateShape, voted: Voted, body: DecideBody) -> None:
    """Raises 409 for a vote that was not taken, and is no repeat either."""
    which = f"gate {gate['name']} of run {run['id']}"
    match voted.taken:
        case Taken.OPPOSED:
            before = next(vote["decision"] for vote in gate["votes"] if vote["by"] == body.by)
            told = f"{body.by} has {before} {which} already, and nobody takes a vote back: let somebody else decide"
        case Taken.MOVED:
            told = f"{which} asks about something else by now: look at the run again (tidemill show {run['id']})"
        case Taken.LATE:
            told = f"the time to decide {which} is over: it fails (tidemill resume {run['id']} asks again)"
        case Taken.SPENT:
            told = "this link was used before, or is too old by now: ask for another"
        case _:
            return
    raise Problem(409, told, state=gate["state"], subject=gate["subject"])


async def _repeat(context: Context, run: RunDetail, gate: GateShape, verb: Verb, body: DecideBody) -> GateDecision:
    """The same decision by the same person again changes nothing. Anything else on a decided gate is a 409."""
    own = _own(gate["votes"], body.by)
    if own is None or own["decision"] != DECISIONS[verb]:
        by = f" by {gate['decided_by']}" if gate["decided_by"] else ""
        raise Problem(
            409,
            f"gate {gate['name']} of run {run['id']} is not waiting: it is {gate['state']}{by}",
            state=gate["state"],
            decided_by=gate["decided_by"],
            decided_at=gate["decided_at"],
        )
    _check_subject(run, gate, body)
    event = await context.views.event(UUID(own["event"]), "") if own["event"] else None
    runs = [one["run"] for one in event["outcomes"] if one["run"] is not None] if event else []
    people = gate["decided_by"] or ", ".join(vote["by"] for vote in gate["votes"])
    needed = needed_by(gate["evidence"])
    note = standing(body.by, _asked(gate), _groups(context), needed, named=_named(gate)).note
    return _answer(run, gate, gate["state"], people, gate["reason"], note, runs)


def _groups(context: Context) -> Mapping[str, Sequence[str]]:
    return {group.name: group.people for group in context.daemon.settings.groups}


def _own(votes: Sequence[VoteShape], person: str) -> VoteShape | None:
    return next((vote for vote in votes if vote["by"] == person), None)


def _answer(
    run: RunDetail, gate: GateShape, state: str, decided_by: str, reason: str, note: str, runs: list[int]
) -> GateDecision:
    return {
        "run": run["id"],
        "gate": gate["name"],
        "state": state,
        "decided_by": decided_by,
        "reason": reason,
        "subject": gate["subject"] or "",
        "note": note,
        "runs": runs,
    }


ENDPOINTS = tuple(
    Endpoint(
        method="POST",
        path=f"/api/v1/runs/{{run}}/gates/{{gate}}/{verb}",
        summary=summary,
        tag="gates",
        handler=handler,
        body=DecideBody,
        only=Right.APPROVER,
        answers={200: GateDecision},
        problems=(403, 404, 409, 413, 415, 422, 429),
    )
    for verb, handler, summary in (
        ("approve", approve, "Let a waiting run pass a gate, named by itself or by the stage behind it"),
        ("reject", reject, "Stop a waiting run at a gate"),
    )
)
