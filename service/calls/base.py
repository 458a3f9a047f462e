"""How a client speaks to a daemon, whichever way its requests go: every refusal an error, what was lost sent again."""

from __future__ import annotations

import http.client
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, Protocol
from urllib.parse import quote, urlencode
from uuid import uuid4

import orjson

from service.errors import ServiceError

TIMEOUT_S = 30.0
# A connection that broke under a request, and a stream that broke off, are tried again so often.
RETRIES_S = (0.1, 0.5, 1.0, 2.0)
RECONNECTS = 5
RECONNECT_S = 1.0

Json = dict[str, Any]


class ApiError(ServiceError):
    """The daemon refused. `problem` is its whole problem document (RFC 9457)."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.title = str(problem.get("title", http.client.responses.get(status, "")))
        self.detail = str(problem.get("detail", "")) or f"{status} {self.title}"
        self.problem = problem
        self.transient = status in (429, 502, 503, 504)
        super().__init__(self.detail)


class DaemonUnavailable(ServiceError):
    """No daemon answers at this address. `broke_off`: one was there, and may have heard what was asked."""

    transient = True

    def __init__(self, url: str, error: BaseException, *, broke_off: bool = False) -> None:
        self.broke_off = broke_off
        super().__init__(
            f"no daemon answers at {url} ({error or type(error).__name__}): start one with `tidemill up`,"
            " or set TIDEMILL_URL to the address of one that runs"
        )


class Transport(Protocol):
    """A way for requests to go. Every call may raise `DaemonUnavailable`."""

    url: str

    async def exchange(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """The status and the body of an answer."""

    def lines(self, path: str, headers: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """The lines of an answer as they come. Raises `ApiError` where it refuses."""

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""


class Calls:
    """What all calls share. Each is one request, told once for all ways to go."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.url = transport.url

    async def _get(self, path: str, **query: Any) -> Json:
        return await self._ask("GET", asked(path, query))

    async def _post(self, path: str, body: Any, *, again: bool = True) -> Json:
        """`again`: it does something that has no name of its own, so that a repeat needs a key to be known by."""
        headers = {"Idempotency-Key": quoted(str(uuid4()))} if again else {}
        return await self._ask("POST", path, body, headers=headers)

    async def _ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Json:
        content = None if method == "GET" else orjson.dumps(body)
        sent = {"Content-Type": content_type, **(headers or {})} if content is not None else dict(headers or {})
        return answer_of(*await self._exchange(method, path, content, sent))

    async def _exchange(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """The answer; asked for again, under the same key, where the connection broke. Whoever was never there is not
        waited for.
        """
        lost: DaemonUnavailable | None = None
        for pause_s in (*RETRIES_S, None):
            try:
                status, answer = await self._transport.exchange(method, path, content, headers)
            except DaemonUnavailable as error:
                if pause_s is None or not (lost or error.broke_off):
                    raise
                lost = error
            else:
                under_way = lost is not None and status == 409 and "Idempotency-Key" in headers
                if pause_s is None or not under_way:
                    return status, answer
            await self._transport.sleep(pause_s)
        raise AssertionError("the last try returns or raises")

    async def _follow(
        self, path: str, query: Mapping[str, Any], last: str = ""
    ) -> AsyncGenerator[tuple[str, str, Any], None]:
        """Server-sent events: kind, id, data; now and then one without data. A stream that breaks off is taken up where
        it broke; one that does not come back raises `DaemonUnavailable`.
        """
        lost = 0
        while True:
            broken = DaemonUnavailable(self.url, ConnectionError("the stream broke off"))
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            try:
                async with aclosing(self._transport.lines(asked(path, query), headers)) as lines:
                    async for kind, place, data in parsed(lines):
                        last, lost = place or last, 0
                        yield kind, place, data
            except DaemonUnavailable as error:
                broken = error
            lost += 1
            if lost > RECONNECTS:
                raise broken
            await self._transport.sleep(RECONNECT_S)


def asked(path: str, query: Mapping[str, Any]) -> str:
    """The path with what of the query is given."""
    wanted = given(query)
    return f"{path}?{urlencode(wanted, doseq=True)}" if wanted else path


def given(fields: Mapping[str, Any]) -> Json:
    """Those of the fields that are given."""
    return {name: value for name, value in fields.items() if value is not None}


def part(name: str) -> str:
    """A name as part of a path."""
    return quote(str(name), safe="")


def quoted(key: str) -> str:
    """As a string of a structured field, so that any visible characters pass (RFC 8941 section 3.3.3)."""
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def answer_of(status: int, content: bytes) -> Json:
    """The document of an answer. Raises `ApiError` for one that refuses."""
    try:
        document = orjson.loads(content) if content else {}
    except orjson.JSONDecodeError:
        document = {"detail": f"{status}: what answers there is no Tidemill daemon: {content[:80]!r}"}
        status = status if status >= 400 else 502
    if status >= 400:
        raise ApiError(status, document if isinstance(document, dict) else {})
    answer: Json = document
    return answer


async def parsed(lines: AsyncIterator[bytes]) -> AsyncGenerator[tuple[str, str, Any], None]:
    """Server-sent events out of their lines (WHATWG HTML, section 9.2.6), as far as our daemon writes them. What has no
    data tells that the stream stands.
    """
    fields: dict[str, str] = {}
    async for line in lines:
        text = line.decode().rstrip("\r\n")
        if text:
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
            continue
        data = orjson.loads(fields["data"]) if "data" in fields else None
        yield fields.get("event", "message"), fields.get("id", ""), data
        fields = {}
