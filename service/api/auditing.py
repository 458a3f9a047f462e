"""Puts on record who asked for what, and what was refused to whom."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from service.api.problems import TOLD, Problem, problem_of
from service.api.requests import header
from service.api.standing import CALLER, caller_of, require
from service.audit import ACTING, MOST_TEXT, Acting, Note
from service.callers import Caller, Right, Via
from service.db.audit import PutAudit
from service.db.writer import Writer
from stages.secrets import Secrets

NOTED = "tidemill.noted"
# Refusals cost whoever is refused nothing: so many a minute are noted, of the others only how many there were.
REFUSALS_PER_MINUTE = 120
ACTED = frozenset({Right.OPERATOR, Right.APPROVER, Right.ADMIN})
REFUSED = (401, 403, 429)
# A link or token in an address is as good as what it stands for.
DECIDE = "/decide/"
BY_LINK = Caller("", Via.LINK, frozenset())
_SECRET = re.compile(r"(?<=/decide/).+")


class Audit:
    """The one of a daemon."""

    def __init__(self, writer: Writer, secrets: Secrets, now: Callable[[], float] = time.monotonic) -> None:
        self._writer = writer
        self._secrets = secrets
        self._now = now
        self._left = float(REFUSALS_PER_MINUTE)
        self._seen = now()
        self._passed_over = 0

    async def served(
        self, request: Request, action: str, right: Right | None, success: int, serve: Callable[[], Awaitable[Response]]
    ) -> Response:
        """Serve a request for whoever has the role, and note it if it does something.

        The note is in the transaction of its first write, with the status that is to be expected; where another is
        answered, a second row of the same request tells that one.
        """
        by_link = request.scope["path"].startswith(DECIDE)
        if request.method in ("GET", "HEAD") or not (by_link or right is None or right in ACTED):
            require(request.scope, right)
            return await serve()
        request.scope[NOTED] = True
        if by_link:
            request.scope[CALLER] = BY_LINK
        acting = Acting(self._note(request.scope, action, success, request.path_params), self._secrets.mask_fields)
        resetting, status, told = ACTING.set(acting), 500, ""
        try:
            require(request.scope, right)
            answer = await serve()
            status = answer.status_code
            return answer
        except TOLD as error:
            problem = problem_of(error)
            status, told = problem.status, str(problem)
            raise
        finally:
            ACTING.reset(resetting)
            if acting.take() is not None or status != success:
                self._later(acting.note, status, told)

    def refused(self, scope: Scope, problem: Problem) -> None:
        """Note that nobody known was let in, where they showed something or wanted to do something."""
        if scope.get(NOTED) or problem.status not in REFUSED:
            return
        shown = header(scope, b"authorization") is not None or b"access_token=" in scope["query_string"]
        if shown or scope["method"] not in ("GET", "HEAD"):
            route = str(scope.get("tidemill.route") or "")
            self._later(self._note(scope, f"{scope['method']} {route}".strip(), 0, {}), problem.status, str(problem))

    def signed_in(self, scope: Scope, name: str, status: int, told: str = "") -> None:
        """Note that somebody signed in, or was refused."""
        scope[NOTED] = True
        self._later(replace(self._note(scope, "POST /sign-in", status, {}), said=name), status, told)

    def _later(self, note: Note, status: int, told: str) -> None:
        detail = dict(note.detail)
        if status in REFUSED and not self._may():
            return
        if status in REFUSED and self._passed_over:
            detail["refusals_not_noted_before"] = self._passed_over
            self._passed_over = 0
        if told:
            detail["told"] = told[:MOST_TEXT]
        self._writer.later(PutAudit(replace(note, answer=status, detail=self._secrets.mask_fields(detail))))

    def _may(self) -> bool:
        now = self._now()
        self._left = min(REFUSALS_PER_MINUTE, self._left + (now - self._seen) * REFUSALS_PER_MINUTE / 60)
        self._seen = now
        if self._left < 1:
            self._passed_over += 1
            return False
        self._left -= 1
        return True

    def _note(self, scope: Scope, action: str, answer: int, named: dict[str, Any]) -> Note:
        client = scope.get("client")
        run = str(named.get("run", ""))
        return Note(
            request=uuid4(),
            caller=caller_of(scope),
            address=str(client[0]) if client else "",
            action=action,
            object=self._secrets.mask(_SECRET.sub("***", scope["path"])),
            answer=answer,
            run_id=int(run) if run.isascii() and run.isdigit() and len(run) < 19 else None,
        )
