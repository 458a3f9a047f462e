"""No worker process outlives its daemon, however either of them ends."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import orjson
import pytest

from service.db.accept import Accept
from service.db.offered import EventRow, RunRow
from service.temporary import PREFIX, YOUNG_S
from tests.db.writing import rows, writing
from tests.fault.daemons import daemon_process
from tests.fault.processes import all_gone, descendants
from triggers.cloudevents import to_json
from triggers.event import Event, utc_now

PIPELINES = ("workers", "packaged")


async def begin(dsn: str, folder: Path, pipeline: str, *, busy: bool) -> None:
    """Accept an event that starts a run, with no daemon there."""
    data = {"folder": str(folder), "busy": busy}
    event = Event(source="tests", id="1", type="t", time=utc_now(), data=data)
    row = EventRow(event.key, event.source, event.id, event.type, None, event.time, orjson.dumps(to_json(event)))
    run = RunRow(event.key, pipeline, "v", "test", b"{}", 0, take=False)
    async with writing(dsn) as writer:
        await writer.submit(Accept([row], [run], []))


async def processes_of_stage(folder: Path) -> list[int]:
    """The worker and the program that the stage has started."""
    async with asyncio.timeout(20):
        while not (folder / "started").exists():
            await asyncio.sleep(0.01)
    return [int(pid) for pid in (folder / "started").read_text().split()]


@pytest.mark.parametrize("busy", [False, True] if sys.platform == "linux" else [False])
@pytest.mark.parametrize("pipeline", PIPELINES)
async def test_kill_9_of_the_daemon_leaves_no_worker(pipeline: str, busy: bool, database: str, tmp_path: Path) -> None:
    await begin(database, tmp_path, pipeline, busy=busy)
    spec = f"tests.fault.workers:{pipeline}"
    async with daemon_process(database, tmp_path, spec, TMPDIR=str(tmp_path)) as process:
        pids = await processes_of_stage(tmp_path)
        assert set(pids) <= set(descendants(process.pid))
        process.kill()
        await all_gone(pids)


async def test_what_a_killed_daemon_left_among_temporary_files_goes_when_the_next_one_starts(
    database: str, tmp_path: Path
) -> None:
    await begin(database, tmp_path, "workers", busy=False)
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "of-somebody-else").mkdir()
    async with daemon_process(database, tmp_path, "tests.fault.workers:workers", TMPDIR=str(shared)) as process:
        pids = await processes_of_stage(tmp_path)
        [left] = shared.glob(f"{PREFIX}*")
        assert list(left.glob("tidemill-worker-*"))
        process.kill()
        await all_gone(pids)
    assert left.exists()
    long_ago = time.time() - 2 * YOUNG_S
    os.utime(left, (long_ago, long_ago))
    async with daemon_process(database, tmp_path, "tests.fault.workers:workers", TMPDIR=str(shared)) as process:
        async with asyncio.timeout(20):
            while left.exists():
                await asyncio.sleep(0.01)
        process.terminate()
        async with asyncio.timeout(20):
            await process.wait()
    assert [each.name for each in shared.iterdir()] == ["of-somebody-else"]


@pytest.mark.parametrize("pipeline", PIPELINES)
async def test_sigterm_ends_the_workers_and_gives_their_runs_back(pipeline: str, database: str, tmp_path: Path) -> None:
    await begin(database, tmp_path, pipeline, busy=False)
    spec = f"tests.fault.workers:{pipeline}"
    async with daemon_process(database, tmp_path, spec, TIDEMILL_EXECUTOR_DRAIN_S="0.1") as process:
        pids = await processes_of_stage(tmp_path)
        process.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        await all_gone(pids)
    [run] = await rows(database, "select state from runs")
    assert run["state"] == "queued"
