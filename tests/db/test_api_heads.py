"""Heads of requests that do not end: nobody knows who sends them, so they may cost next to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.api import unread
from service.settings import Role
from tests.db.api import JSON, api

BEGIN = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"
CHUNKED = b"POST /hooks/plain HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = 16_384


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, and what comes of it within a while."""
    parts = urlsplit(address)
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            yield reader, writer
        finally:
            writer.close()


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /", b"z" * PIECE),
        (BEGIN + b"x: ", b"y" * PIECE),
        (BEGIN, b"a: bcdefgh\r\n" * (PIECE // 12)),
        (CHUNKED + b"2\r\n{}\r\n0\r\n", b"a: bcdefgh\r\n" * (PIECE // 12)),
        (CHUNKED + b"2\r\n{}\r\n0\r\nx: ", b"y" * PIECE),
        (CHUNKED + b"2;", b"y" * PIECE),
    ],
    ids=["address", "header", "headers", "trailers", "trailer", "chunk"],
)
async def test_a_head_without_an_end_is_refused_soon(database: str, tmp_path: Path, begin: bytes, piece: bytes) -> None:
    async with api(database, tmp_path, Role.API) as one, connected(one.daemon.address) as (reader, writer):
        writer.write(begin)
        # Meanwhile the daemon reads it.
        assert (await one.http.get("/livez")).status_code == 200
        for _ in range(unread.MOST_HEAD_BYTES // PIECE + 1):
            writer.write(piece)
        assert b"431 Request Header Fields Too Large" in await reader.read()


async def test_what_is_long_and_ends_is_read(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        answer = await one.http.get("/livez", headers={"x": "y" * (unread.MOST_HEAD_BYTES // 2)})
        assert answer.status_code == 200
        body = b'"' + b"x" * 4 * unread.MOST_HEAD_BYTES + b'"'
        assert (await one.http.post("/hooks/plain", content=body, headers=JSON)).status_code == 202
        assert (await one.http.post("/hooks/plain", content=_in_pieces(body), headers=JSON)).status_code in (200, 202)


async def _in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 5):
        yield body[start : start + 5]


async def test_a_head_that_does_not_come_is_not_waited_for(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "HEAD_S", 0.3)
    async with api(database, tmp_path, Role.API) as one:
        async with connected(one.daemon.address) as (reader, writer):
            assert await reader.read() == b""
        async with connected(one.daemon.address) as (reader, writer):
            writer.write(BEGIN)
            assert b"408 Request Timeout" in await reader.read()
        async with connected(one.daemon.address) as (reader, writer):
            writer.write(BEGIN + b"\r\n" + BEGIN)
            assert b"200 OK" in await _answer(reader)
            writer.write(b"\r\n")
            assert b"200 OK" in await _answer(reader)
            # Between requests a connection may be idle for longer.
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 2 * unread.HEAD_S)
            writer.write(BEGIN + b"\r\n")
            assert b"200 OK" in await _answer(reader)


async def test_the_rest_of_a_request_that_was_answered_is_not_waited_for(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "HEAD_S", 0.3)
    refused = b"POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n"
    async with api(database, tmp_path, Role.API, api_token="a-token") as one:
        async with connected(one.daemon.address) as (reader, writer):
            writer.write(refused + b"half")
            assert b"401 Unauthorized" in await _answer(reader)
            assert b"408 Request Timeout" in await reader.read()
        async with connected(one.daemon.address) as (reader, writer):
            writer.write(refused + b"half")
            assert b"401 Unauthorized" in await _answer(reader)
            writer.write(b" of it" + BEGIN + b"\r\n")
            assert b"200 OK" in await _answer(reader)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 2 * unread.HEAD_S)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    [length] = [line[16:] for line in head.lower().splitlines() if line.startswith(b"content-length: ")]
    return head + await reader.readexactly(int(length))
