"""The audit log: who did what, known how and from where, with what answer."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request

from service.api.audit import audit_page
from service.api.context import Context
from service.api.requests import query_id
from service.console.page import Shown

SHOWN_ROWS = 50
FIELDS = ("who", "action", "run", "refused", "since", "until")


async def audit(context: Context, request: Request) -> Shown:
    """A page of it, newest first; what is looked for stands in the address."""
    asked = {name: request.query_params.get(name, "").strip() for name in FIELDS}
    page = await audit_page(context, asked, query_id(request, "before"), SHOWN_ROWS)
    kept = {name: value for name, value in asked.items() if value}
    older = f"/audit?{urlencode({**kept, 'before': page['next']})}" if page["next"] is not None else None
    values = {"title": "Audit log", "page": page, "asked": asked, "older": older}
    # What is older does not change.
    follows = None if "before" in request.query_params else "/api/v1/audit?follow=true"
    return Shown("audit.html", values, live=None, follows=follows)
