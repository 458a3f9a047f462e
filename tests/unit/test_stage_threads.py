"""Threads that nobody waits for any more lose their places to others, and are counted."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from stages import Event, Pipeline, StageContext, stage
from stages.call import Call
from stages.outcome import Failed, Outcome, Succeeded
from stages.runners.base import RunnerTools
from stages.runners.inline import STAGE_THREADS, InlineRunner
from stages.stores import open_store
from stages.threads import ABANDONED_FOR_EACH
from triggers.event import utc_now

begun = threading.Semaphore(0)
held = threading.Event()
seen = threading.Event()


@stage
def clings() -> None:
    begun.release()
    held.wait(30)


@stage
def clings_too() -> None:
    begun.release()
    held.wait(30)


@stage
def gives_way(context: StageContext) -> None:
    begun.release()
    while not context.cancelled:
        pass
    seen.set()


@stage
def quick(context: StageContext) -> bool:
    return context.cancelled


clinging = Pipeline("clinging", [clings, clings_too, gives_way, quick])


@pytest_asyncio.fixture
async def runner() -> AsyncIterator[InlineRunner]:
    held.clear()
    seen.clear()
    one = InlineRunner(RunnerTools(store=open_store("memory://"), threads=1))
    yield one
    held.set()
    await one.close()
    await gone()


async def gone() -> None:
    """Return when no thread of a stage is left."""
    async with asyncio.timeout(10):
        while any(one.name.startswith(STAGE_THREADS) for one in threading.enumerate()):
            await asyncio.sleep(0.001)


async def run(runner: InlineRunner, name: str, **changes: Any) -> Outcome:
    event = Event(source="t", id="1", type="t", time=utc_now())
    call = Call(pipeline="clinging", stage=name, run_id=1, attempt=1, idempotency_key="k", event=event, **changes)
    return await runner.run(clinging.plan.stages[name], call)


async def abandon(runner: InlineRunner, name: str) -> None:
    """Cancel an attempt at the stage once it is under way."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(run(runner, name))
        assert await asyncio.to_thread(begun.acquire, timeout=10)
        task.cancel()


async def test_an_abandoned_thread_gives_its_place_to_another(
    runner: InlineRunner, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tidemill.executor"):
        for name in ("clings", "clings", "clings_too"):
            await abandon(runner, name)
    assert isinstance(await run(runner, "quick"), Succeeded)
    assert runner.abandoned == 3
    told = [record.getMessage() for record in caplog.records]
    assert [line[:20] for line in told] == ["stage 'clings' of pi", "stage 'clings_too' o"]
    assert "use runner='process'" in told[0]


async def test_a_thread_that_returns_after_all_is_counted_no_more(runner: InlineRunner) -> None:
    await abandon(runner, "clings")
    assert runner.abandoned == 1
    held.set()
    async with asyncio.timeout(10):
        while runner.abandoned:
            await asyncio.sleep(0.001)
    assert isinstance(await run(runner, "quick"), Succeeded)


async def test_abandoned_threads_are_replaced_up_to_a_bound(runner: InlineRunner) -> None:
    for _ in range(ABANDONED_FOR_EACH + 1):
        await abandon(runner, "clings")
    assert isinstance(await run(runner, "clings", timeout_s=0.05), Failed)
    assert runner.abandoned == ABANDONED_FOR_EACH + 1
    threads = [one for one in threading.enumerate() if one.name.startswith(STAGE_THREADS)]
    assert len(threads) == ABANDONED_FOR_EACH + 1


async def test_a_stage_may_ask_whether_it_is_cancelled(runner: InlineRunner) -> None:
    await abandon(runner, "gives_way")
    assert await asyncio.to_thread(seen.wait, 10)
    outcome = await run(runner, "quick")
    assert isinstance(outcome, Succeeded)
    assert outcome.output.inline == b"false"


async def test_no_more_threads_than_places_work_at_once(runner: InlineRunner) -> None:
    outcomes = await asyncio.gather(*(run(runner, "quick") for _ in range(50)))
    assert all(isinstance(one, Succeeded) for one in outcomes)
    assert len([one for one in threading.enumerate() if one.name.startswith(STAGE_THREADS)]) == 1
