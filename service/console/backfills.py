"""Backfills: the list, one with its progress, and asking for one after looking at what it would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode
from uuid import uuid4

from starlette.requests import Request

from service.api.bodies import BackfillBody
from service.api.context import Context
from service.api.problems import Problem
from service.api.requests import path_id, query_id, whole
from service.api.schedules import backfill_called, begin_backfill, plan_backfill, stop_backfill
from service.console.page import Done, Form, Shown, who
from service.db.schedules import ScheduleViews
from triggers.schedule import Schedule

LIMIT = 50
FIELDS = ("trigger", "from", "to", "order", "max_parallel", "again", "stop_on_failure")


async def backfills(context: Context, request: Request) -> Shown:
    """A page of them, the newest first."""
    before = query_id(request, "before")
    page = await ScheduleViews(context.daemon.reads).backfills(before=before, limit=LIMIT)
    older = urlencode({"before": page["next"]}) if page["next"] else ""
    values = {"title": "Backfills", "backfills": page["backfills"], "older": older, "later": before is not None}
    return Shown("backfills.html", values)


async def backfill(context: Context, request: Request) -> Shown:
    """One: how far it is, the ticks under way and what went wrong."""
    found = await backfill_called(context, path_id(request, "backfill", "backfill"))
    pipeline = found["trigger"].partition("/")[0]
    return Shown("backfill.html", {"title": f"Backfill {found['id']}", "one": found}, live={"pipeline": pipeline})


async def planning(context: Context, request: Request) -> Shown:
    """What a backfill would do; it is asked for in the address, and nothing is changed."""
    asked = {name: request.query_params.get(name, "").strip() for name in FIELDS}
    values: dict[str, Any] = {
        "title": "Backfill a schedule",
        "asked": asked,
        "schedules": sorted(one.name for one in context.daemon.catalogue.bindings(Schedule)),
        "plan": None,
        "once": str(uuid4()),
    }
    if asked["trigger"] and asked["from"]:
        values["plan"] = await plan_backfill(context, _body(asked))
    return Shown("backfill_new.html", values, live=None)


async def begun(context: Context, request: Request, form: Form) -> Done:
    """Begin it. Sent twice, it is one backfill."""
    by, session = who(context, request, form)
    wanted = {"by": by} | ({"id": form["once"]} if form.get("once") else {})
    found, _ = await begin_backfill(context, _body(form, **wanted))
    return Done(f"/backfills/{found['id']}", f"{by} has begun a backfill of {found['trigger']}.", session)


async def stopped(context: Context, request: Request, form: Form) -> Done:
    """Start no more of its ticks; its runs go on."""
    by, session = who(context, request, form)
    found = await stop_backfill(context, path_id(request, "backfill", "backfill"), by)
    said = f"Backfill {found['id']} starts no more ticks; {found['under_way']} of its runs go on."
    return Done(f"/backfills/{found['id']}", said, session)


def _body(form: Mapping[str, str], **more: str) -> BackfillBody:
    """What is asked for. Raises 422."""
    most = form.get("max_parallel") or "1"
    if whole(most) is None:
        raise Problem(422, f"at once {most[:40]!r}: expected a whole number")
    order: Literal["oldest", "newest"] = "newest" if form.get("order") == "newest" else "oldest"
    wanted: dict[str, Any] = {"trigger": form.get("trigger", ""), "from": form.get("from", ""), "order": order, **more}
    if form.get("to"):
        wanted["to"] = form["to"]
    flags = {name: form.get(name) == "yes" for name in ("again", "stop_on_failure")}
    return BackfillBody.model_validate({**wanted, **flags, "max_parallel": int(most)})
