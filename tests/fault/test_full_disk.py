"""The disk of Postgres is full: events are refused in words, offsets stay, and all goes on once there is room."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from tests.db.writing import rows
from tests.fault.daemons import daemon_process
from tests.fault.matrix.cell import Acting, Recipe, make_topics
from tests.fault.matrix.check import wrongs
from tests.fault.matrix.ground import MAY_MOUNT, WHY_NO_DISK, filled, ground
from tests.fault.test_daemon_killed import SIX, begin, until_finished
from tests.fault.warm import Warm

# Each event brings enough that the pages there are do not hold many of them.
DATA = "x" * 4000
MOST = 300
POSITIONS = "select scope, key, value from positions order by 1, 2"
READ = "select count(*) = 1 from positions where scope like '%.arrivals' and value = '{}'"


async def _nothing(acting: Acting) -> None:
    """These daemons are told by the test."""


async def _refused(acting: Acting) -> httpx.Response:
    """The first refusal that names the cause. Before it Postgres may take longer to fail than anybody waits."""
    headers = {"Content-Type": "application/cloudevents+json"}
    async with httpx.AsyncClient(timeout=30, base_url=acting.urls[0]) as http:
        for number in range(MOST):
            event = {"specversion": "1.0", "source": "matrix", "id": f"f{number}", "type": "matrix.flow", "data": DATA}
            answer = await http.post("/api/v1/events", json=event, headers=headers)
            if answer.is_success:
                acting.acknowledged.append(f"flow f{number}")
                continue
            assert answer.status_code == 503, answer.text
            if "did not commit within" not in answer.json()["detail"]:
                return answer
    raise AssertionError(f"{MOST} events were accepted, or kept waiting, on a full disk")


async def _record(acting: Acting) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=acting.ground.broker.servers)
    await producer.start()
    await producer.send_and_wait(acting.topic, b'{"n": "%b"}' % DATA.encode())
    await producer.stop()


@pytest.mark.skipif(not MAY_MOUNT, reason=f"{WHY_NO_DISK}; `make test` as root has one")
@pytest.mark.timeout(180)
async def test_a_full_disk_refuses_events_and_moves_no_offset(home: Path) -> None:
    recipe = Recipe("full", ["flow", "recorded"], _nothing, kafka=True)
    async with Warm() as warm, ground(home) as one, one.database() as dsn:
        acting = Acting(one, warm, recipe, home, dsn, "full")
        await make_topics(acting)
        daemon = await acting.daemon()
        await acting.tell("flow")
        async with asyncio.timeout(60):
            sent = 0
            # A listener that is new begins with what comes after it.
            while not await rows(dsn, "select from runs where pipeline = 'recorded'"):
                await _record(acting)
                sent += 1
                await asyncio.sleep(0.2)
            await acting.until(READ.format(sent))
            await acting.until("select count(*) = 0 from runs where state <> 'succeeded'")
        with filled(one.home):
            answer = await _refused(acting)
            assert "No space left on device" in answer.json()["detail"]
            assert int(answer.headers["retry-after"]) >= 1
            before = await rows(dsn, POSITIONS)
            await _record(acting)
            await _refused(acting)
            assert await rows(dsn, POSITIONS) == before
        await acting.tell("flow", "after")
        async with asyncio.timeout(60):
            await acting.until(READ.format(sent + 1))
            await acting.until("select count(*) = 0 from runs where state <> 'succeeded'")
        daemon.signal(signal.SIGTERM)
        assert await daemon.ended() == 0
        assert await wrongs(dsn, home, ["succeeded"], acting.acknowledged) == []


@pytest.mark.parametrize("point", ["writer.commit", "putattempt.commit", "moverun.commit"])
async def test_no_room_just_then_costs_a_try_and_no_run(database: str, tmp_path: Path, point: str) -> None:
    """The same error, of whichever disk it is, where nobody may mount one."""
    (tmp_path / "hold").write_text("")
    await begin(database, tmp_path)
    async with daemon_process(database, tmp_path, SIX, TIDEMILL_FAULTS=f"{point}=full@1") as process:
        await until_finished(database)
        assert process.returncode is None
    assert [row["state"] for row in await rows(database, "select state from runs")] == ["succeeded"]
