"""One address of the API: what serves it, and what its description says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.api.context import Context
from service.callers import Right

Handler = Callable[[Context, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A body that is not a JSON document of ours: its media type and schema."""

    media_type: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`answers` maps a status to the type of its document, a `Content`, or None for an empty answer.

    `problems` are the statuses answered with a problem document, besides those any address may give. `query` and
    `headers` say what each parameter is. `body` is the type of the request's document, `Content`s, or None. No
    `handler`: the intake serves it. `open`: it never needs the token. `only`: the role it takes, where that is not a
    viewer's for what is read (GET, OPTIONS) and an operator's for what is done. `keeps_key`: what it makes is known
    by the request's `Idempotency-Key` for good, so that no answer need be kept.
    """

    method: str
    path: str
    summary: str
    tag: str
    handler: Handler | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    needs_body: bool = True
    answers: Mapping[int, Any] = field(default_factory=dict)
    problems: Sequence[int] = ()
    open: bool = False
    only: Right | None = None
    keeps_key: bool = False

    @property
    def needs(self) -> Right | None:
        """The role it takes; None: nobody is asked."""
        if self.open:
            return None
        return self.only or (Right.VIEWER if self.method in ("GET", "OPTIONS") else Right.OPERATOR)

    @property
    def takes_key(self) -> bool:
        """Whether a request that is sent again under its `Idempotency-Key` is carried out once."""
        return self.method == "POST" and not self.open and not self.path.startswith("/hooks/")

    @property
    def has_etag(self) -> bool:
        """Whether its answer can be asked for under the condition that it has changed."""
        return self.method == "GET" and not self.open and "text/event-stream" not in self._media_types

    @property
    def _media_types(self) -> set[str]:
        given = self.answers.get(200)
        return {given.media_type} if isinstance(given, Content) else set()


BEFORE = "only what comes before this one: `next` of the page above"
LIMIT = "how many, 1 to 1,000; default 50"
