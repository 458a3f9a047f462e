"""When a daemon asks for runs to drive: when some may be ready, and not merely because one has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.db.claims import Claim
from service.db.writer import CHANGED, WAKE_CHANNEL
from service.loops import executor
from service.model import RunState
from stages.base import stage
from stages.errors import Transient
from stages.pipeline import Pipeline
from stages.retry import Retry
from tests.db.daemons import STEADY_S, daemon, reached, settings, start
from tests.db.writing import accept, rows, writing
from triggers.event import Event

QUEUED = """
select count(*) from run_log cross join lateral jsonb_array_elements(convert_from(entries, 'UTF8')::jsonb) entry
where entry ->> 'move' = 'queued'
"""

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


class Asked:
    """How many runs each claim took, since the daemon has started."""

    def __init__(self) -> None:
        self.claims: list[int] = []
        self._second = asyncio.Event()

    def add(self, runs: int) -> None:
        """One more claim was answered."""
        self.claims.append(runs)
        if len(self.claims) == 2:
            self._second.set()

    async def at_start(self) -> None:
        """A daemon claims as it starts, and once more when it listens: wait for both, and count from here."""
        async with asyncio.timeout(STEADY_S):
            await self._second.wait()
        self.claims.clear()


@asynccontextmanager
async def told(dsn: str) -> AsyncIterator[Callable[[], Awaitable[list[str]]]]:
    """What whoever claims has been told by now, since the last time that was asked. Nothing else may be changing."""
    heard: asyncio.Queue[str] = asyncio.Queue()
    connection = await asyncpg.connect(dsn)
    await connection.add_listener(WAKE_CHANNEL, lambda *told: heard.put_nowait(told[-1]))

    async def all_of_it() -> list[str]:
        await rows(dsn, "select pg_notify($1, $2)", WAKE_CHANNEL, CHANGED)
        found = []
        async with asyncio.timeout(STEADY_S):
            while (one := await heard.get()) != CHANGED:
                found.append(one)
        return found

    try:
        yield all_of_it
    finally:
        await connection.close()


@pytest.fixture(autouse=True)
def unprompted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks merely because it is time to."""
    monkeypatch.setattr(executor, "SAFETY_POLL_S", 3600.0)
    tried.clear()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the daemon asks for."""
    found, committed = Asked(), Claim.committed

    def count(claim: Claim, answer: Any) -> None:
        committed(claim, answer)
        found.add(len(answer[0]))

    monkeypatch.setattr(Claim, "committed", count)
    return found


async def test_runs_that_end_ask_for_no_others(database: str, tmp_path: Path, asked: Asked) -> None:
    async with daemon(settings(database, tmp_path, lease_s=STEADY_S), once) as one, told(database) as all_of_it:
        await asked.at_start()
        for number in range(12):
            assert await reached(one, await start(one, "once", str(number), 1)) is RunState.SUCCEEDED
        assert await all_of_it() == []
    assert asked.claims == [], "how many runs each took"


async def test_a_run_that_is_claimed_as_it_is_accepted_is_told_to_nobody(database: str) -> None:
    async with writing(database) as writer, told(database) as all_of_it:
        for number, places in enumerate((2, 1, 0)):
            claim = Claim({"once": "v1", "other": "v1"}, partial(int, places), lambda limit, rows, next_s: None)
            _, (taken, _) = await writer.submit(accept(str(number), "once", "other"), claim)
            assert len(taken) == places
            assert await all_of_it() == [""] * (places < 2)


async def test_runs_are_begun_at_once_while_a_claim_waits_for_the_writer(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), once) as one:
        assert one.executor is not None
        for number in range(12):
            one.executor.wake()
            await asyncio.sleep(0)
            assert await reached(one, await start(one, "once", str(number), 1)) is RunState.SUCCEEDED
    assert await rows(database, "select count(*), max(epoch) from runs") == [(12, 1)]
    assert await rows(database, QUEUED) == [(0,)]


async def test_a_claim_that_fills_all_places_makes_nothing_wait_that_comes_then(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, max_runs=2), once) as one:
        assert one.executor is not None
        first = await asyncio.gather(*(start(one, "once", f"first {number}", 1) for number in range(4)))
        assert {await reached(one, run) for run in first} == {RunState.SUCCEEDED}
        before = await rows(database, QUEUED)
        for number in range(8):
            assert await reached(one, await start(one, "once", str(number), 1)) is RunState.SUCCEEDED
    assert [before, await rows(database, QUEUED)] == [[(2,)], [(2,)]]


@pytest.mark.parametrize("pipeline", [once, alone], ids=lambda one: one.name)
async def test_what_waits_for_a_place_gets_it(database: str, tmp_path: Path, pipeline: Pipeline) -> None:
    async with daemon(settings(database, tmp_path, max_runs=2), pipeline) as one:
        runs = await asyncio.gather(*(start(one, pipeline.name, str(number), 1) for number in range(9)))
        assert {await reached(one, run) for run in runs} == {RunState.SUCCEEDED}


async def test_what_waits_for_a_time_is_taken_then(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), twice) as one:
        for number in range(4):
            assert await reached(one, await start(one, "twice", str(number), 1)) is RunState.SUCCEEDED
