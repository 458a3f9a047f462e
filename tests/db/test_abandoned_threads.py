"""A stage that overruns its time in a thread of the daemon is counted where people look."""

from __future__ import annotations

import threading
from pathlib import Path

from service.model import RunState
from service.settings import Role
from stages import Pipeline, Retry, stage
from tests.db.api import api
from tests.db.daemons import reached, start


async def test_abandoned_threads_are_a_gauge(database: str, tmp_path: Path) -> None:
    held = threading.Event()

    @stage(timeout_s=0.1, runner="inline", retry=Retry(max_attempts=1))
    def clings() -> None:
        held.wait(30)

    clinging = Pipeline("clinging", [clings])
    try:
        async with api(database, tmp_path, Role.API, Role.EXECUTOR, pipelines=(clinging,)) as one:
            assert "\ntidemill_abandoned_threads 0\n" in (await one.http.get("/metrics")).text
            run = await start(one.daemon, "clinging", "1")
            assert await reached(one.daemon, run) is RunState.FAILED
            assert "\ntidemill_abandoned_threads 1\n" in (await one.http.get("/metrics")).text
    finally:
        held.set()
