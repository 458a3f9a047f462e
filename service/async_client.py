"""The Python client of the API for programs on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType

import aiohttp

from service.calls.base import TIMEOUT_S, DaemonUnavailable, answer_of
from service.calls.everything import AllCalls
from service.transport import bearer, checked

OUTAGES = (aiohttp.ClientError, asyncio.TimeoutError, OSError)
# A stream says at least that there is nothing new.
SILENCE_S = 60.0


class AsyncClient(AllCalls):
    """As `service.client.Client`, awaited: `async with AsyncClient(url) as client: await client.show(7)`.

    Its connections are kept for the next request; `close`, or the end of the block, ends them.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        self._pooled = Pooled(url, token, timeout_s)
        super().__init__(self._pooled)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End its connections."""
        await self._pooled.close()


class Pooled:
    """Implements `service.calls.base.Transport` over connections that are kept."""

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        self.url = checked(url).rstrip("/")
        self._headers = {"Accept": "application/json", **bearer(token)}
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def exchange(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        """See `service.calls.base.Transport`."""
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        try:
            async with self._open().request(
                method, self.url + path, data=content, headers=headers, timeout=timeout
            ) as response:
                return response.status, await response.read()
        except OUTAGES as error:
            raise self._unavailable(error) from error

    async def lines(self, path: str, headers: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """See `service.calls.base.Transport`."""
        timeout = aiohttp.ClientTimeout(sock_connect=self._timeout_s, sock_read=SILENCE_S)
        try:
            async with self._open().get(self.url + path, headers=headers, timeout=timeout) as response:
                if response.status != 200:
                    answer_of(response.status, await response.read())
                async for line in response.content:
                    yield line
        except OUTAGES as error:
            raise self._unavailable(error) from error

    async def sleep(self, seconds: float) -> None:
        """See `service.calls.base.Transport`."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """End the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers=self._headers)
        return self._session

    def _unavailable(self, error: BaseException) -> DaemonUnavailable:
        return DaemonUnavailable(self.url, error, broke_off=not isinstance(error, aiohttp.ClientConnectorError))
