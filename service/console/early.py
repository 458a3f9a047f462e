"""Pages whose head goes ahead: a browser makes a process ready while what they hold is read."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.problems import TOLD, problem_of
from service.console.look import HEADERS
from service.console.trouble import page_of

logger = logging.getLogger("tidemill.api")


class EarlyPage(Response):
    """Its head goes out at once. What goes wrong after that is told by the page, and no longer by its status."""

    media_type = "text/html"

    def __init__(self, content: Callable[[], Awaitable[str]]) -> None:
        self.status_code = 200
        self.background = None
        self._content = content
        self.init_headers(HEADERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            body = (await self._content()).encode()
        except TOLD as error:
            problem = problem_of(error)
            logger.error("%s %s: %s", scope["method"], scope["path"], problem)
            body = bytes((page_of(problem, scope) or problem.response()).body)
        await send({"type": "http.response.body", "body": body})
