"""Every offset in exactly one successful batch, whatever is killed meanwhile.

The embedded broker keeps nothing over its own end, so here the way to it is cut; `python -m tests.fault.million` kills
a broker that keeps its records.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.broker.seam import RestartableBroker, create_topic
from tests.fault.storm import PARTITIONS, Proxy, Storm, free_port

RECORDS = int(os.environ.get("TEST_STORM_RECORDS", "50000"))


@asynccontextmanager
async def broker_behind_a_proxy(home: Path) -> AsyncIterator[tuple[str, Proxy]]:
    port = free_port()
    servers = f"127.0.0.1:{port}"
    broker = RestartableBroker(home, advertised=servers)
    await broker.start()
    host, _, own = broker.servers.partition(":")
    proxy = Proxy(host, int(own))
    await proxy.start(port)
    try:
        yield servers, proxy
    finally:
        await proxy.stop()
        await broker.stop()


@pytest.mark.timeout(300)
async def test_every_offset_is_in_one_successful_batch_while_daemons_and_connections_are_killed(
    database: str, home: Path, tmp_path: Path
) -> None:
    async with broker_behind_a_proxy(home) as (servers, proxy):
        await create_topic(servers, "storm", PARTITIONS)

        async def cut() -> None:
            await proxy.cut_for(random.choice((0.0, 0.0, 0.5, 1.5)))

        storm = Storm(database, servers, "storm", tmp_path, RECORDS, cut, batch=500, daemons=2, pause_s=0.3)
        await storm.rage(limit_s=240)
        batches = await storm.check()
    assert storm.killed + storm.left >= 2
    assert proxy.cuts >= 2
    assert all(count >= RECORDS // 500 for count in batches.values())
