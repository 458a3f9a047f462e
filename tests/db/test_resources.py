"""Stages take what they ask for of their daemon, and fail for good where they ask for what it never has."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from service.model import RunState
from service.settings import Executor
from service.values import Amount
from stages.base import stage
from stages.pipeline import Pipeline
from tests.db.daemons import attempts, daemon, reached, settings, start
from tests.db.writing import rows
from triggers.event import Event


async def test_stages_of_different_pipelines_share_what_the_daemon_has(database: str, tmp_path: Path) -> None:
    now, most = 0, 0

    @stage(resources={"gpu": 1})
    async def train(event: Event) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(5):
            await asyncio.sleep(0)
        now -= 1
        return 1

    @stage(resources={"gpu": 3})
    async def greedy(event: Event) -> int:
        return 1

    given = settings(database, tmp_path)
    given = dataclasses.replace(given, executor=Executor(lease_s=30.0, resources=(Amount("gpu", 2),)))
    pipelines = [Pipeline("a", [train]), Pipeline("b", [train]), Pipeline("greedy", [greedy])]
    async with daemon(given, *pipelines) as one:
        refused = await start(one, "greedy", "0")
        runs = await asyncio.gather(*(start(one, "ab"[n % 2], str(n), n) for n in range(1, 31)))
        assert [await reached(one, run) for run in runs] == [RunState.SUCCEEDED] * 30
        assert await reached(one, refused) is RunState.FAILED
        assert await attempts(one, refused) == [("greedy", 1, "failed")]
    assert most == 2
    [row] = await rows(database, "select failure from attempts where stage = 'greedy'")
    assert b"asks for 3 gpu of 2 that this daemon has" in row["failure"]
