"""`Idempotency-Key` on every POST: a request that comes again is not carried out again, but told the same answer.

As draft-ietf-httpapi-idempotency-key-header has it: 400 for a key that is none, 422 where it came before with another
request, 409 while the first is under way. Keys are told apart by who sends them. An answer that refuses did nothing and
is not kept: the same key may be sent again with what is mended. Where a daemon dies between doing and keeping, the next
to come with the key does it again, which each of these addresses takes well: what was done stays done once.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive

from service.api.context import Context
from service.api.endpoint import Endpoint, Handler
from service.api.problems import TOLD, Problem
from service.api.requests import header, read_body
from service.api.standing import caller_of
from service.audit import tell
from service.db.keys import Claim, FreeKey, Held, KeepAnswer, TakeKey
from service.db.writer import Operation
from service.inbox import COMMIT_TIMEOUT_S
from triggers.errors import InboxBusy
from triggers.headers import fold, key_of

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
# Of a longer answer, and of one that nobody may store, it is only known that there was one: to whoever asks again it is
# done again.
MOST_KEPT_BYTES = 64 * 1024
_TELLING = ("content-type", "location", "tidemill-model-version")


async def once(context: Context, request: Request, endpoint: Endpoint, handler: Handler) -> Response:
    """The answer of the handler, or the one it gave when the same request came before."""
    if header(request.scope, b"idempotency-key") is None:
        return await handler(context, request)
    key = key_of(fold(request.scope["headers"]), HEADER)
    if key is None:
        raise Problem(400, f"{HEADER} is empty: send 1 to 1,024 visible ASCII characters, or no such header")
    body = await read_body(request.scope, request.receive, context.limit_bytes)
    claim = Claim(_caller(request), key, _fingerprint(request, body), uuid4())
    again = Request(request.scope, _given(body, request.receive))
    if endpoint.keeps_key:
        return await _bound(context, claim, lambda: handler(context, again))
    return await _claimed(context, claim, lambda: handler(context, again))


async def _bound(context: Context, claim: Claim, handle: Callable[[], Awaitable[Response]]) -> Response:
    """The answer of a handler that knows the key itself: it is asked each time, for this one request and no other."""
    daemon = context.daemon
    daemon.inbox.refuse_when_busy()
    take = TakeKey(claim, daemon.settings.http.idempotency_s)
    held: Held | None = await _write(context, take, KeepAnswer(claim, 200, {}, None))
    if held is not None:
        return _told_again(held, claim.key)
    try:
        answer = await handle()
    except BaseException as error:
        if not take.again:
            await _let_go(context, claim, error)
        raise
    if take.again and answer.status_code in (200, 201):
        tell({"idempotency_replayed": True})
        answer.headers[REPLAYED] = "true"
    return answer


async def _claimed(context: Context, claim: Claim, handle: Callable[[], Awaitable[Response]]) -> Response:
    """The answer of the handler to whoever comes first with a key; who does not wait for it lets go of the key."""
    daemon = context.daemon
    daemon.inbox.refuse_when_busy()
    take = TakeKey(claim, daemon.settings.http.idempotency_s)
    try:
        held: Held | None = await _write(context, take)
        if held is not None:
            return _told_again(held, claim.key)
        answer = await handle()
        await _keep(context, claim, answer)
    except BaseException as error:
        if take.again:
            # What was done before under this key stays what the key is for.
            daemon.writer.post(KeepAnswer(claim, 200, {}, None))
        else:
            await _let_go(context, claim, error)
        raise
    return answer


async def _let_go(context: Context, claim: Claim, error: BaseException | None = None) -> None:
    """Free the key. Who is told of a refusal may send it again at once: that must not find it taken."""
    free = FreeKey(claim)
    if error is not None and (isinstance(error, InboxBusy) or not isinstance(error, TOLD)):
        context.daemon.writer.post(free)
        return
    try:
        await _write(context, free)
    except InboxBusy:
        return


async def _keep(context: Context, claim: Claim, answer: Response) -> None:
    """What was done is done: that its answer is not kept in time is no reason to withhold it."""
    if answer.status_code >= 400:
        await _let_go(context, claim)
        return
    secret = "no-store" in answer.headers.get("cache-control", "")
    kept = not secret and len(answer.body) <= MOST_KEPT_BYTES
    headers = {name: answer.headers[name] for name in _TELLING if name in answer.headers}
    operation = KeepAnswer(claim, answer.status_code, headers, bytes(answer.body) if kept else None)
    try:
        await _write(context, operation)
    except InboxBusy:
        return


async def _write(context: Context, *operations: Operation) -> Any:
    """Write what is no part of what is asked for, and so takes no note along: the first answer. Raises `InboxBusy`."""
    try:
        async with asyncio.timeout(COMMIT_TIMEOUT_S):
            answer, *_ = await context.daemon.writer.submit(*operations)
            return answer
    except TimeoutError as error:
        raise InboxBusy(f"Postgres did not commit within {COMMIT_TIMEOUT_S:g} s: try again") from error


def _told_again(held: Held, key: str) -> Response:
    if not held.same:
        raise Problem(422, f"{HEADER} {key[:80]!r} was used before for another request: use another key")
    if held.answer is None:
        again = {"Retry-After": "1"}
        raise Problem(409, f"the request with {HEADER} {key[:80]!r} is still under way: ask again", headers=again)
    answer = held.answer
    tell({"idempotency_replayed": True})
    return Response(answer.body, answer.status, {**answer.headers, REPLAYED: "true"})


def _caller(request: Request) -> str:
    """Whose key it is: keys of others are none of theirs."""
    caller = caller_of(request.scope)
    return f"{caller.via.value} {caller.name or caller.known_as}"


def _fingerprint(request: Request, body: bytes) -> bytes:
    """All that is asked; a CloudEvent in binary mode has most of it in its headers."""
    scope = request.scope
    told = [request.method.encode(), scope["path"].encode(), scope["query_string"]]
    told += [
        b"%b: %b" % one for one in sorted(scope["headers"]) if one[0] == b"content-type" or one[0].startswith(b"ce-")
    ]
    digest = hashlib.blake2b(digest_size=32)
    for part in (*told, body):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def _given(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, then whatever else comes."""
    left = [body]

    async def receiving() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return receiving
