"""What still runs in a thread of the daemon after its run was cancelled is counted where people look."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from service.db.steering import Cancel
from service.model import RunState
from service.settings import Role
from stages import Pipeline, stage
from tests.db.api import api
from tests.db.daemons import reached, start


async def test_abandoned_threads_are_a_gauge(database: str, tmp_path: Path) -> None:
    held, begun = threading.Event(), threading.Event()

    @stage
    def clings() -> None:
        begun.set()
        held.wait(30)

    def doubts(output: None) -> bool:
        begun.set()
        return held.wait(30)

    @stage
    async def quick() -> None: ...

    @stage(after=["quick"])
    async def last() -> None: ...

    clinging = Pipeline("clinging", [clings])
    doubting = Pipeline("doubting", [quick, last], gates={("quick", "last"): doubts})
    try:
        async with api(database, tmp_path, Role.API, Role.EXECUTOR, pipelines=(clinging, doubting)) as one:
            assert "\ntidemill_abandoned_threads 0\n" in (await one.http.get("/metrics")).text
            for number, name in enumerate(("clinging", "doubting"), start=1):
                run = await start(one.daemon, name, name)
                assert await asyncio.to_thread(begun.wait, 20)
                begun.clear()
                await one.daemon.writer.submit(Cancel(run, "kim"))
                assert await reached(one.daemon, run) is RunState.CANCELLED
                assert f"\ntidemill_abandoned_threads {number}\n" in (await one.http.get("/metrics")).text
    finally:
        held.set()
