"""The daemon dies under a request with an `Idempotency-Key`: it happens once, and may be asked for again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.db.writing import rows
from tests.fault.daemons import daemon_process
from tests.fault.storm import free_port

PIPELINE = "tests.fault.listening:every_post"
KEY = {"Idempotency-Key": '"once"'}


async def pause(port: int) -> httpx.Response | None:
    """None: the connection ended without an answer."""
    async with httpx.AsyncClient(timeout=30) as http:
        try:
            return await http.post(f"http://127.0.0.1:{port}/api/v1/pauses", json={"what": "every_post"}, headers=KEY)
        except httpx.HTTPError:
            return None


@pytest.mark.parametrize(
    ("point", "replayed"),
    [
        *(("takekey.commit", False), ("takekey.committed", False), ("putpause.commit", False)),
        *(("putpause.committed", False), ("keepanswer.commit", False), ("keepanswer.committed", True)),
    ],
)
async def test_the_next_daemon_carries_it_out_or_tells_what_was_answered(
    database: str, tmp_path: Path, point: str, replayed: bool
) -> None:
    port = free_port()
    faulty = {"TIDEMILL_FAULTS": f"{point}=crash@1", "TIDEMILL_HTTP_PORT": str(port)}
    async with daemon_process(database, tmp_path, PIPELINE, roles="api", **faulty) as process:
        assert await pause(port) is None
        async with asyncio.timeout(30):
            await process.wait()
    port = free_port()
    async with daemon_process(database, tmp_path, PIPELINE, roles="api", TIDEMILL_HTTP_PORT=str(port)):
        # Until its lease has lapsed, the request counts as under way in the daemon that died.
        async with asyncio.timeout(10):
            while (answer := await pause(port)) is None or answer.status_code == 409:
                await asyncio.sleep(0.05)
    assert (answer.status_code, "idempotency-replayed" in answer.headers) == (200, replayed)
    assert len(await rows(database, "select from pauses")) == 1
