"""What cannot be read as a request of HTTP/1.1 is refused as everything else is: by a problem document.

So is a head that does not end: the parser has no bound of its own, and nobody knows yet who sends it.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.problems import Problem

GARBLED = (
    "this is no request of HTTP/1.1, or one with a method that nobody knows: "
    "GET /api/v1/openapi.json lists which address takes which"
)
# A head, or what follows a body, may be so long, and what the socket gave at once besides.
MOST_HEAD_BYTES = 65_536
HEAD_S = 30.0


class ReadingProtocol(HttpToolsProtocol):
    """uvicorn's own, which would answer in plain text, and read heads for ever."""

    _unread_bytes = 0
    _begun = False
    _reading_head = False
    _whole = True
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A head is to come."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """None will."""
        self._await_nothing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on. What brought neither an end of a head nor a part of a body counts."""
        self._unread_bytes += len(data)
        super().data_received(data)
        if self._unread_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(Problem(431, f"its head has more than {MOST_HEAD_BYTES} bytes: send fewer or shorter headers"))
        elif self._reading_head and self._waiting is None:
            # What comes whole, as most do, needs no timer.
            self._await_head()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._begun, self._reading_head, self._whole = True, True, False

    def on_headers_complete(self) -> None:
        """It is whole."""
        self._unread_bytes, self._reading_head = 0, False
        self._await_nothing()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a body: how many of those are read is for whoever answers to say."""
        self._unread_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of a request is there."""
        self._whole = True
        self._await_nothing()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """It is answered. What is still to come of it nobody reads, and it is not waited for any longer than a head."""
        super().on_response_complete()
        if not self._whole:
            self._await_head()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser has just refused, and close."""
        self._refuse(Problem(400, GARBLED))

    def _await_head(self) -> None:
        self._await_nothing()
        self._waiting = self.loop.call_later(HEAD_S, self._too_slow)

    def _await_nothing(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _too_slow(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # It follows a request that is being answered, until when nothing more of it may be read.
            self._await_head()
        elif not self._begun:
            self.transport.close()
        elif not self.transport.is_closing():
            self._refuse(Problem(408, f"the request did not arrive within {HEAD_S:g} s: send it again"))

    def _refuse(self, problem: Problem) -> None:
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        answer = problem.response()
        lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}".encode()]
        lines += [b"%s: %s" % pair for pair in (*self.server_state.default_headers, *answer.raw_headers)]
        self.transport.write(b"\r\n".join([*lines, b"connection: close", b"", bytes(answer.body)]))
        self.transport.close()
