"""Buckets through daemons that die while they tell of them: each object is one event and one run."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.contract.s3_server import Bucket, serving
from tests.db.writing import rows, until
from tests.fault.daemons import daemon_process

COUNT = 6_000
PIPELINE = "tests.fault.listening:every_object"


async def reach(dsn: str, count: int) -> None:
    """Wait until there are so many events."""
    await until(dsn, 60, "select count(*) >= $1 from events", count)


async def dies(dsn: str, folder: Path, url: str, fault: str) -> None:
    """Let a daemon run into a fault."""
    started = daemon_process(dsn, folder, PIPELINE, roles="triggers", TEST_BUCKET=url, TIDEMILL_FAULTS=fault)
    async with started as process, asyncio.timeout(40):
        await process.wait()


@pytest.mark.timeout(180)
async def test_each_object_is_one_run_over_kills_while_they_are_written(database: str, tmp_path: Path) -> None:
    with serving(Bucket()) as bucket:
        for number in range(COUNT // 2):
            bucket.put(f"landing/{number % 7}/{number}.csv", b"%d" % number)
        for fault in ("accept.commit=crash@2", "accept.committed=crash@1", "accept.committed=crash@2"):
            await dies(database, tmp_path, bucket.url, fault)
        async with daemon_process(database, tmp_path, PIPELINE, roles="triggers", TEST_BUCKET=bucket.url) as process:
            writing = threading.Thread(target=write, args=(bucket,))
            writing.start()
            await reach(database, COUNT // 2 + 100)
            process.kill()
            await asyncio.to_thread(writing.join)
        async with (
            daemon_process(database, tmp_path, PIPELINE, roles="triggers", TEST_BUCKET=bucket.url),
            daemon_process(database, tmp_path / "other", PIPELINE, roles="triggers", TEST_BUCKET=bucket.url),
        ):
            await reach(database, COUNT)
    told = Counter(row["subject"] for row in await rows(database, "select subject from events"))
    assert told == Counter(dict.fromkeys(bucket.objects, 1))
    assert len(await rows(database, "select distinct event_key from runs")) == COUNT
    assert len(await rows(database, "select from runs")) == COUNT


def write(bucket: Bucket) -> None:
    """Write the other half, here and there among the first."""
    for number in range(COUNT // 2, COUNT):
        bucket.put(f"landing/{number % 7}/{number}.csv", b"%d" % number)
