"""Reading what a request brings: its body within the limit, JSON, query values, ids in the path."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import date
from typing import Any, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.types import Receive, Scope

from service.api.problems import ClientGone, Problem
from service.api.room import take
from service.api.standing import in_own_name
from service.audit import tell
from triggers.payload import media_type, parse_json, require_utf8

BODY_TIMEOUT_S = 30.0
LIMITED_BY = "http.max_body_bytes"
COMPRESSED = frozenset({"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"})
LINGER_S, LINGER_BYTES = 1.0, 8 * 1_048_576
DEFAULT_LIMIT, MOST_LIMIT = 50, 1000
# Less than a bigint holds: what comes behind it is asked for by the number after it.
LARGEST_ID = 2**63 - 2

Model = TypeVar("Model", bound=BaseModel)


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of a (lower-case) name."""
    for found, value in scope["headers"]:
        if found == name:
            text: str = value.decode("latin-1")
            return text
    return None


async def read_body(scope: Scope, receive: Receive, limit_bytes: int, limited_by: str = LIMITED_BY) -> bytes:
    """The whole body. Raises 413 as soon as it must be too large, 408 when it does not come, 415 if it is compressed,
    503 where the daemon holds too many, `ClientGone`. `limited_by` is what sets the limit.
    """
    coding = (header(scope, b"content-encoding") or "").strip().lower()
    if coding in COMPRESSED:
        accept = {"Accept-Encoding": "identity"}
        raise Problem(415, f"Content-Encoding {coding} is not understood: send the body as it is", headers=accept)
    length = header(scope, b"content-length")
    if length is not None and length.isdigit() and int(length[:19]) > limit_bytes:
        raise _too_large(limit_bytes, limited_by)
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _collect(scope, receive, limit_bytes, limited_by)
    except TimeoutError:
        detail = f"the request's body did not arrive within {BODY_TIMEOUT_S:g} s: send it again"
        raise Problem(408, detail, headers={"Connection": "close"}) from None


async def _collect(scope: Scope, receive: Receive, limit_bytes: int, limited_by: str) -> bytes:
    parts: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("the client hung up before its request was whole")
        part = message.get("body", b"")
        size_bytes += len(part)
        if size_bytes > limit_bytes:
            raise _too_large(limit_bytes, limited_by)
        take(scope, len(part))
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(limit_bytes: int, limited_by: str) -> Problem:
    detail = f"the body is larger than {limit_bytes} bytes: send less, or raise {limited_by}"
    # What is still on its way is not wanted: the connection ends with this answer.
    return Problem(413, detail, headers={"Connection": "close"}, limit_bytes=limit_bytes)


async def linger(receive: Receive) -> None:
    """Let go of what a client still sends while it reads its answer: hanging up at once could cost it the answer."""
    left_bytes = LINGER_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while left_bytes > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                left_bytes -= len(message.get("body", b""))


async def hung_up(receive: Receive) -> None:
    """Return once the server has noticed, too, that the client is gone; it would tell of an answer not finished."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (await receive())["type"] != "http.disconnect":
                pass


async def read_json(request: Request, limit_bytes: int) -> Any:
    """The JSON value of the body, None when it is empty. Raises 400, 413, 415 or 422 (nested too deep)."""
    body = await read_body(request.scope, request.receive, limit_bytes)
    if not body:
        return None
    content_type = header(request.scope, b"content-type")
    media = media_type(content_type) if content_type else None
    if content_type and (media is None or not media.is_json):
        raise Problem(415, f"{content_type[:80]!r} is not understood: send JSON with Content-Type: application/json")
    if media is not None:
        require_utf8(media)
    return parse_json(body, "the body")


async def read_model(request: Request, limit_bytes: int, model: type[Model]) -> Model:
    """The body as a checked model; an empty one as if it were `{}`. Raises like `read_json`, 422 naming the fields, 403
    where it is in another's name.
    """
    value = await read_json(request, limit_bytes)
    read = model.model_validate(in_own_name(request.scope, model, {} if value is None else value))
    tell(read.model_dump(exclude_defaults=True))
    return read


def path_id(request: Request, name: str, what: str) -> int:
    """A positive number in the path. Raises 404: what is not a number names nothing."""
    found = whole(request.path_params[name])
    if found is None:
        raise Problem(404, f"no {what} {request.path_params[name][:80]!r}: a {what} is known by its number")
    return found


def query_id(request: Request, name: str) -> int | None:
    """A whole number in the query, or None when it is not given. Raises 422."""
    given = request.query_params.get(name)
    if given is None or given == "":
        return None
    found = whole(given)
    if found is None:
        raise Problem(422, f"{name}={given[:80]!r}: expected a whole number, 0 or more")
    return found


def query_day(request: Request, name: str) -> date | None:
    """A day in the query, or None when it is not given. Raises 422."""
    given = request.query_params.get(name, "")
    try:
        return date.fromisoformat(given) if given else None
    except ValueError:
        raise Problem(422, f"{name}={given[:80]!r}: expected a day, such as 2026-03-01") from None


def flag(asked: Mapping[str, str], name: str) -> bool:
    """Whether a query says `true`. Raises 422 for what is neither that nor `false`."""
    given = asked.get(name, "").lower()
    if given not in ("", "true", "false"):
        raise Problem(422, f"{name}={given[:80]!r}: expected true or false")
    return given == "true"


def query_limit(request: Request, default: int = DEFAULT_LIMIT) -> int:
    """How many rows are wanted: 1 to 1,000."""
    limit = query_id(request, "limit")
    if limit is None:
        return default
    if not 1 <= limit <= MOST_LIMIT:
        raise Problem(422, f"limit={limit}: expected 1 to {MOST_LIMIT}; page on with `before` or `after`")
    return limit


def known_only(request: Request, known: Mapping[str, Any], several: Collection[str] = ()) -> None:
    """Raises 422 for a query parameter that would be passed over in silence: one there is not, or one given twice that
    is none of `several`.
    """
    strange = [name for name in request.query_params if name not in known]
    if strange:
        raise Problem(
            422, f"{strange[0][:80]!r} is no parameter of this address: it takes {', '.join(known) or 'none'}"
        )
    times = Counter(name for name, _ in request.query_params.multi_items() if name not in several)
    twice = next((name for name, count in times.items() if count > 1), None)
    if twice is not None:
        raise Problem(422, f"{twice} is given {times[twice]} times, and this address takes it once")


def whole(text: str) -> int | None:
    """A number as the database's bigint holds it, or None."""
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    number = int(text)
    return number if number <= LARGEST_ID else None
