"""What is no request, or has a method that nobody knows, is refused by a problem document at every address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest

from service.settings import Role
from tests.db.api import api, problem

ADDRESSES = ["/", "/api/v1/runs", "/api/v1/events", "/livez", "/assets/1/live.js", "/decide/x", "/act/sign-out"]


@pytest.mark.parametrize("method", ["FOO", "GETS", "PROPFIND", "TRACE", "PUT"])
async def test_a_method_that_is_not_known_is_a_problem(method: str, database: str, tmp_path: Path) -> None:
    known = method not in ("FOO", "GETS")
    async with api(database, tmp_path, Role.API) as one:
        for address in ADDRESSES:
            answer = await one.http.request(method, address)
            told = problem(answer, 405 if known else 400)
            assert "takes" in told if known else "nobody knows" in told
            assert ("allow" in answer.headers) is known
        assert (await one.http.get("/livez")).status_code == 200


@pytest.mark.parametrize("sent", [b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nA : b\r\n\r\n", b"GET \r\n\r\n"])
async def test_what_is_no_request_is_a_problem(sent: bytes, database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        address = urlsplit(str(one.http.base_url))
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(sent)
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        writer.close()
    first, *headers = head.decode().split("\r\n")
    assert first == "HTTP/1.1 400 Bad Request"
    assert {"content-type: application/problem+json", "connection: close", f"content-length: {len(body)}"} <= {*headers}
    assert orjson.loads(body)["status"] == 400
