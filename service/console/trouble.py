"""Errors as pages, for whoever asked with a browser."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from service.api.problems import Problem
from service.api.requests import header
from service.console.look import HEADERS, rendered

# What programs ask.
PROGRAMS = ("/api/", "/hooks/", "/livez", "/readyz", "/metrics")


def page_of(problem: Problem, scope: Scope) -> Response | None:
    """The page for an error; None for whoever is no browser, or asks what programs ask."""
    path: str = scope["path"]
    if "text/html" not in (header(scope, b"accept") or "") or path.startswith(PROGRAMS):
        return None
    if problem.status == 401 and scope["method"] == "GET":
        query = scope["query_string"].decode("latin-1")
        # As it was asked for: decoded, a `?` or `#` in the path would end it.
        asked = scope["raw_path"].decode("latin-1")
        wanted = asked + (f"?{query}" if query else "")
        return RedirectResponse(f"/sign-in?next={quote(wanted, safe='')}", 303, {"Cache-Control": "no-store"})
    title = HTTPStatus(problem.status).phrase
    page = rendered("trouble.html", title=title, detail=str(problem), status=problem.status)
    return HTMLResponse(page, problem.status, {**HEADERS, **problem.headers})
