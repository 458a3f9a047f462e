"""What is answered over HTTP when the daemon dies around the answer: nothing that is not durable, and nothing twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.db.writing import rows, until
from tests.fault.daemons import daemon_process
from tests.fault.storm import free_port

PIPELINE = "tests.fault.listening:every_post"
EVENT = {"specversion": "1.0", "source": "tests", "id": "1", "type": "posted"}
HEADERS = {"Content-Type": "application/cloudevents+json"}


async def post(port: int) -> int | None:
    """The status of the answer; None: the connection ended without one."""
    async with httpx.AsyncClient(timeout=30) as http:
        try:
            return (await http.post(f"http://127.0.0.1:{port}/api/v1/events", json=EVENT, headers=HEADERS)).status_code
        except httpx.HTTPError:
            return None


async def told(dsn: str, folder: Path, fault: str) -> int | None:
    """What a sender hears from a daemon with a fault, which is dead afterwards."""
    port = free_port()
    variables = {"TIDEMILL_FAULTS": fault, "TIDEMILL_HTTP_PORT": str(port)}
    async with daemon_process(dsn, folder, PIPELINE, roles="api,triggers", **variables) as process:
        status = await post(port)
        async with asyncio.timeout(30):
            await process.wait()
    return status


@pytest.mark.parametrize(("point", "kept"), [("accept.commit", 0), ("accept.committed", 1), ("answer.send", 1)])
async def test_nothing_is_answered_that_is_not_durable(database: str, tmp_path: Path, point: str, kept: int) -> None:
    assert await told(database, tmp_path, f"{point}=crash@1") is None
    assert len(await rows(database, "select from events where source = 'tests'")) == kept
    port = free_port()
    async with daemon_process(database, tmp_path, PIPELINE, roles="api,triggers", TIDEMILL_HTTP_PORT=str(port)):
        assert await post(port) == (200 if kept else 202)
    assert len(await rows(database, "select from runs where trigger = 'cloudevents'")) == 1


async def test_what_was_answered_is_there_whatever_happens_then(database: str, tmp_path: Path) -> None:
    assert await told(database, tmp_path, "answer.sent=crash@1") == 202
    assert len(await rows(database, "select from events where source = 'tests'")) == 1


async def test_who_waits_while_a_daemon_ends_by_an_error_is_told_to_ask_again(database: str, tmp_path: Path) -> None:
    port = free_port()
    given = {"TIDEMILL_HTTP_PORT": str(port)}
    faults = "stage.read=delay:1,stage.read.done=fail,accept.commit=delay:20@2"
    counted = (database, tmp_path, "tests.fault.upgraded:counted")
    async with httpx.AsyncClient(timeout=30) as http:
        url = f"http://127.0.0.1:{port}/hooks/counted"
        async with daemon_process(*counted, roles="api,triggers,executor", TIDEMILL_FAULTS=faults, **given) as process:
            assert (await http.post(url, json={"n": 1})).status_code == 202
            waited = await http.post(url, json={"n": 2})
            assert await asyncio.wait_for(process.wait(), 30) == 1
        assert (waited.status_code, waited.headers["retry-after"]) == (503, "1")
        assert "this daemon ends before it could answer: ask again" in waited.json()["detail"]
        async with daemon_process(*counted, roles="api,triggers,executor", **given):
            assert (await http.post(url, json={"n": 2})).is_success
            await until(database, 30, "select count(*) = 2 from runs where state = 'succeeded'")
