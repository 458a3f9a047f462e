"""Requests that are answered before anything else goes on: one request, one connection."""

from __future__ import annotations

import http.client
import time
from collections.abc import AsyncGenerator, Mapping
from urllib.parse import urlsplit

from service.calls.base import TIMEOUT_S, DaemonUnavailable, answer_of
from service.errors import ConfigError


class Blocking:
    """Implements `service.calls.base.Transport`; nothing in it is ever waited for. One may be shared by threads."""

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        parts = urlsplit(checked(url))
        self.url = url.rstrip("/")
        self._parts = parts
        self._token = token
        self._timeout_s = timeout_s

    async def exchange(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """See `service.calls.base.Transport`."""
        connection = self._connect()
        try:
            response = self._send(connection, method, path, content, headers)
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            raise DaemonUnavailable(self.url, error, broke_off=True) from error
        finally:
            connection.close()

    async def lines(self, path: str, headers: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """See `service.calls.base.Transport`."""
        connection = self._connect()
        try:
            response = self._send(connection, "GET", path, None, headers)
            if response.status != 200:
                answer_of(response.status, response.read())
            for line in response:
                yield line
        except (OSError, http.client.HTTPException) as error:
            raise DaemonUnavailable(self.url, error, broke_off=True) from error
        finally:
            connection.close()

    async def sleep(self, seconds: float) -> None:
        """See `service.calls.base.Transport`."""
        time.sleep(seconds)  # noqa: ASYNC251 - that it blocks is what it is for

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=self._timeout_s)
        try:
            connection.connect()
        except OSError as error:
            raise DaemonUnavailable(self.url, error) from error
        return connection

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> http.client.HTTPResponse:
        given = {"Accept": "application/json", **headers, **bearer(self._token)}
        connection.request(method, self._parts.path.rstrip("/") + path, content, given)
        return connection.getresponse()


def checked(url: str) -> str:
    """The address of a daemon. Raises `ConfigError`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"{url!r} is not the address of a daemon: expected http://HOST:PORT (TIDEMILL_URL)")
    return url


def bearer(token: str | None) -> Mapping[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"} if token else {}
