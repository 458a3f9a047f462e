"""What cannot be read as a request of HTTP/1.1 is refused as everything else is: by a problem document."""

from __future__ import annotations

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.api.problems import Problem

GARBLED = (
    "this is no request of HTTP/1.1, or one with a method that nobody knows: "
    "GET /api/v1/openapi.json lists which address takes which"
)


class ReadingProtocol(HttpToolsProtocol):
    """uvicorn's own, which would answer in plain text."""

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser has just refused, and close."""
        problem = Problem(400, GARBLED)
        answer = problem.response()
        lines = [f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}".encode()]
        lines += [b"%s: %s" % pair for pair in (*self.server_state.default_headers, *answer.raw_headers)]
        self.transport.write(b"\r\n".join([*lines, b"connection: close", b"", bytes(answer.body)]))
        self.transport.close()
