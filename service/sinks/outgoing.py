"""Requests to the outside: one connection, kept while the other side keeps it, no redirects, every wait bounded."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from service.sinks.base import SinkTrouble
from triggers.event import utc_now

TIMEOUT_S = 10.0
MOST_BYTES = 65_536
# What a server that closed an idle connection makes of the next request.
_STALE = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, http.client.CannotSendRequest)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `headers` have lower-case names; of the body no more than 64 KiB are kept."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """When the other side wants to be asked again (RFC 9110, section 10.2.3)."""
        told = self.headers.get("retry-after", "").strip()
        if told.isascii() and told.isdigit():
            return float(told[:6])
        try:
            return max(0.0, (parsedate_to_datetime(told) - utc_now()).total_seconds())
        except (TypeError, ValueError):
            return None


class Outgoing:
    """Posts to one server. Used by one task at a time."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._tls = parts.hostname or "", parts.port, parts.scheme == "https"
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None

    async def post(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Raises `SinkTrouble` when no answer comes."""
        try:
            async with asyncio.timeout(2 * self._timeout_s + 1):
                return await asyncio.to_thread(self._post, path, headers, body)
        except asyncio.CancelledError:
            self._drop()
            raise
        except (OSError, http.client.HTTPException, TimeoutError) as error:
            self._drop()
            raise SinkTrouble(f"{self._host} does not answer: {error or type(error).__name__}") from error

    async def close(self) -> None:
        """Hang up."""
        self._drop()

    def _post(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        kept = self._connection is not None
        try:
            return self._exchange(path, headers, body)
        except _STALE:
            self._drop()
            if not kept:
                raise
            return self._exchange(path, headers, body)

    def _exchange(self, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        connection = self._connection or self._connect()
        self._connection = connection
        connection.request("POST", path, body, dict(headers))
        answer = connection.getresponse()
        content = answer.read(MOST_BYTES)
        if answer.will_close or not answer.isclosed():
            self._drop()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls:
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if connection.sock is not None:
            # A thread may still wait for an answer: this lets it go at once.
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
