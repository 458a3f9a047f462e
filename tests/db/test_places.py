"""When a daemon asks for runs to drive: when some may be ready, and not merely because one has ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from service.db.claims import Claim
from service.loops import executor
from service.model import RunState
from stages.base import stage
from stages.errors import Transient
from stages.pipeline import Pipeline
from stages.retry import Retry
from tests.db.daemons import daemon, reached, settings, start
from triggers.event import Event

tried: list[str] = []


@stage
async def plain(event: Event) -> int:
    return 1


@stage(retry=Retry(max_attempts=2, initial_s=0.01))
async def second_time(event: Event) -> int:
    tried.append(event.id)
    if tried.count(event.id) == 1:
        raise Transient("not yet")
    return 1


once, twice = Pipeline("once", [plain]), Pipeline("twice", [second_time])
alone = Pipeline("alone", [plain], max_running=1)


@pytest.fixture(autouse=True)
def unprompted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks merely because it is time to."""
    monkeypatch.setattr(executor, "SAFETY_POLL_S", 3600.0)
    tried.clear()


async def test_runs_that_end_ask_for_no_others(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims: list[int] = []
    committed = Claim.committed

    def count(self: Claim, answer: Any) -> None:
        claims.append(self.limit)
        committed(self, answer)

    monkeypatch.setattr(Claim, "committed", count)
    async with daemon(settings(database, tmp_path), once) as one:
        for number in range(12):
            assert await reached(one, await start(one, "once", str(number), 1)) is RunState.SUCCEEDED
    # One as it starts, and one as it begins to listen.
    assert len(claims) <= 3


@pytest.mark.parametrize("pipeline", [once, alone], ids=lambda one: one.name)
async def test_what_waits_for_a_place_gets_it(database: str, tmp_path: Path, pipeline: Pipeline) -> None:
    async with daemon(settings(database, tmp_path, max_runs=2), pipeline) as one:
        runs = await asyncio.gather(*(start(one, pipeline.name, str(number), 1) for number in range(9)))
        assert {await reached(one, run) for run in runs} == {RunState.SUCCEEDED}


async def test_what_waits_for_a_time_is_taken_then(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), twice) as one:
        for number in range(4):
            assert await reached(one, await start(one, "twice", str(number), 1)) is RunState.SUCCEEDED
