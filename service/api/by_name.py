"""Lists in the order of their names: which page of one is asked for."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request

from service.api.requests import MOST_LIMIT, known_only, query_limit

AFTER = "only what comes after this one: `next` of the page before"
# These were once told whole: whoever knows of no pages still gets nearly every such list whole.
QUERY = {"after": AFTER, "limit": "how many, 1 to 1,000; default 1,000"}


def asked_by_name(request: Request) -> tuple[str | None, int]:
    """Behind which name, and how many. Raises 422."""
    known_only(request, QUERY)
    return request.query_params.get("after") or None, query_limit(request, MOST_LIMIT)


def page_of(names: Iterable[str], after: str | None, limit: int) -> tuple[list[str], str | None]:
    """The names of a page, and the last of them where there may be more."""
    found = sorted(name for name in names if after is None or name > after)[:limit]
    return found, found[-1] if len(found) == limit else None
