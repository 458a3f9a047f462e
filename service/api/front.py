"""The outermost application: who may come in, the hot intake, then everything else by its route."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.access import ASSETS, SIGN_IN
from service.api.context import Context
from service.api.events import SEND
from service.api.intake import EVENTS, HOOKS, Intake
from service.api.keys import once
from service.api.problems import TOLD, ClientGone, Problem, internal_problem, problem_of
from service.api.requests import hung_up, linger
from service.api.room import Room
from service.api.sessions import kept_to_tls
from service.api.standing import require
from service.callers import Right
from service.console.trouble import page_of
from triggers import faults

logger = logging.getLogger("tidemill.api")

# What uvloop says of writing to a connection that is gone.
HANDLE_CLOSED = "the handler is closed"

# What a supervisor may always ask.
OPEN = frozenset({"/livez", "/readyz"})
# Set in the scope of a request once its answer has begun.
ANSWERED = "tidemill.answered"
ENDS = Problem(
    503,
    "this daemon ends before it could answer: ask again. What was asked may have been done; an event that is told again"
    " with the same id, and a request with the same Idempotency-Key, is done once",
    headers={"Retry-After": "1"},
)
ENDS_S = 1.0
# What carries its own proof: the signature in the address.
DECIDE = "/decide/"


def application(context: Context, intake: Intake, router: Router) -> ASGIApp:
    """The whole API. An error that is not the caller's is a 500, and uvicorn logs its traceback."""
    return ServerErrorMiddleware(Front(context, intake, router), handler=_internal)


async def _internal(request: Request, error: Exception) -> Response:
    return internal_problem().response()


def _to_whom_is_there(send: Send, scope: Scope) -> Send:
    """`send`, for a client that may hang up while it is answered: uvloop then says so before uvicorn knows."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            await faults.reach("answer.send")
            scope[ANSWERED] = True
        try:
            await send(message)
        except RuntimeError as error:
            if HANDLE_CLOSED not in str(error):
                raise
            raise ClientGone("the client hung up before it was answered") from None
        if message["type"] == "http.response.body" and not message.get("more_body"):
            await faults.reach("answer.sent")

    return sending


async def _tell(answer: Response, status: int, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        if status == 413 or answer.headers.get("connection") == "close":
            await _refuse_body(answer, receive, send)
        else:
            await answer(scope, receive, send)
    except ClientGone:
        await hung_up(receive)


async def _tell_of_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    """Whoever is not answered yet is to ask again: the server would tell of a fault of ours."""
    if ANSWERED not in scope:
        with suppress(TimeoutError):
            async with asyncio.timeout(ENDS_S):
                await _tell(ENDS.response(), ENDS.status, scope, receive, send)


async def _refuse_body(answer: Response, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": True})
    await linger(receive)
    await send({"type": "http.response.body", "body": b""})


def _is_sign_in(path: str) -> bool:
    return path == SIGN_IN or path.startswith(f"{SIGN_IN}/")


class Front:
    """See the module."""

    def __init__(self, context: Context, intake: Intake, router: Router) -> None:
        self._context = context
        self._access = context.access
        self._audit = context.audit
        self._meters = context.meters
        self._intake = intake
        self._room = Room(context.daemon.settings.http.held_bytes)
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = self._meters.watch(scope, _to_whom_is_there(send, scope))
        if scope["scheme"] == "https":
            # Which a proxy of `http.trusted_proxies` tells, and nobody else.
            send = kept_to_tls(send)
        try:
            with self._room.holding(scope):
                await self._serve(scope, receive, send)
        except ClientGone:
            await hung_up(receive)
        except asyncio.CancelledError:
            await _tell_of_the_end(scope, receive, send)
            raise
        except TOLD as error:
            problem = problem_of(error)
            self._audit.refused(scope, problem)
            if problem.status == 500:
                logger.error("%s %s: %s", scope["method"], scope["path"], problem)
            await _tell(page_of(problem, scope) or problem.response(), problem.status, scope, receive, send)

    async def _events(self, context: Context, request: Request) -> Response:
        return await self._intake.events(request.scope, request.receive)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(HOOKS):
            scope["tidemill.route"] = HOOKS + "{hook}"
            if not self._intake.proves_sender(path):
                await self._access.check(scope)
                require(scope, Right.OPERATOR)
            await self._intake.hook(scope, receive, send)
            return
        if path not in OPEN and not path.startswith((DECIDE, ASSETS)) and not _is_sign_in(path):
            await self._access.check(scope, token_in_query=path == EVENTS)
        if "\0" in path or b"%00" in scope["query_string"]:
            raise Problem(400, "the address holds a NUL character, which nothing here has in its name")
        if path == EVENTS and scope["method"] in ("POST", "OPTIONS"):
            scope["tidemill.route"] = EVENTS
            require(scope, Right.OPERATOR if scope["method"] == "POST" else Right.VIEWER)
            if scope["method"] == "OPTIONS":
                await self._intake.allow(scope, receive, send)
                return
            answer = await once(self._context, Request(scope, receive), SEND, self._events)
            await answer(scope, receive, send)
            return
        if path == EVENTS and scope["method"] not in ("GET", "HEAD"):
            takes = "GET, HEAD, OPTIONS, POST"
            raise Problem(405, f"this address takes {takes} only", headers={"Allow": takes})
        # Tells Starlette's router to raise what it would otherwise answer as plain text.
        scope["app"] = self
        await self._router(scope, receive, send)
