"""The three requests of the API that stages in other processes make, answered from a registry in memory.

The real API answers them to a stage with an environment in tests/db/test_environment_runner.py.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from stages.errors import StageError
from stages.registry import AliasMoved, ModelVersion, NewVersion, Registry

TOKEN = "a-token"


@contextmanager
def models_server(registry: Registry) -> Iterator[str]:
    """The address of a server, for as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": registry}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    registry: Registry

    def do_GET(self) -> None:
        self._answer(self._alias)

    def do_POST(self) -> None:
        self._answer(self._register)

    def do_PUT(self) -> None:
        self._answer(self._move)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, work: Any) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"null")
        parts = [unquote(part) for part in self.path.split("/")[4:]]
        if self.headers["authorization"] != f"Bearer {TOKEN}":
            return self._send(401, {"detail": "no token"})
        try:
            found = asyncio.run(work(parts, body))
        except AliasMoved as error:
            return self._send(409, {"detail": str(error)})
        except (StageError, RuntimeError) as error:
            return self._send(503, {"detail": str(error.args[0])})
        if found is None:
            return self._send(404, {"detail": "no such alias"})
        return self._send(200, asdict(found) | {"created_at": found.created_at.isoformat()})

    async def _register(self, parts: list[str], body: Any) -> ModelVersion:
        new = NewVersion(model=parts[0], **body)
        return await self.registry.register(new, idempotency_key=self.headers["idempotency-key"].strip('"'))

    async def _alias(self, parts: list[str], body: Any) -> ModelVersion | None:
        return await self.registry.alias(parts[0], parts[2])

    async def _move(self, parts: list[str], body: Any) -> ModelVersion:
        return await self.registry.move_alias(parts[0], parts[2], body["version"], expect=body["expect"])

    def _send(self, status: int, document: Any) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
