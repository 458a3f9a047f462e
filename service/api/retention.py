"""Cleaning up: what would go, or away with it."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.bodies import CleanUpBody
from service.api.context import Context
from service.api.endpoint import Endpoint
from service.api.requests import read_model
from service.callers import Right
from service.retention import CleanUp, Policy


async def clean_up(context: Context, request: Request) -> Response:
    """Tell what would go; with `dry_run` false, remove it. Bounds given here stand in for those of the settings."""
    body = await read_model(request, context.limit_bytes, CleanUpBody)
    retention = context.daemon.retention
    policy = _policy(context.daemon.settings.retention.policy, body)
    if body.dry_run:
        return Json(await retention.plan(policy))
    context.daemon.inbox.refuse_when_busy()
    return Json(await retention.clean(policy, by=body.by))


def _policy(settled: Policy, body: CleanUpBody) -> Policy:
    return replace(
        settled,
        days=settled.days if body.days is None else body.days,
        runs=settled.runs if body.runs is None else body.runs,
        events_days=settled.events_days if body.events_days is None else body.events_days,
    )


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/v1/retention",
        summary="Remove runs, events and artifacts that are kept no longer; by default only tell what would go",
        tag="system",
        handler=clean_up,
        body=CleanUpBody,
        only=Right.ADMIN,
        needs_body=False,
        answers={200: CleanUp},
        problems=(409, 413, 415, 422, 429),
    ),
)
