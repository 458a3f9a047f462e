"""Coroutines that do not end when they are cancelled are left behind, and nobody waits for them."""

from __future__ import annotations

import asyncio
import time

import pytest

from stages import strays
from stages.outcome import Failed
from stages.strays import Strays


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strays, "GRACE_S", 0.2)
    monkeypatch.setattr(strays, "AGAIN_S", 0.1)


class Work:
    """Swallows so many cancellations, and ends when it is let go."""

    def __init__(self, swallows: int = 10**6, cleans_up_s: float = 0.0) -> None:
        self.swallows = swallows
        self.cleans_up_s = cleans_up_s
        self.enough = asyncio.Event()
        self.ended = asyncio.Event()
        self.cancelled = 0
        self.told: list[str] = []

    async def run(self) -> str:
        try:
            while not self.enough.is_set():
                try:
                    await self.enough.wait()
                except asyncio.CancelledError:
                    self.cancelled += 1
                    await asyncio.sleep(self.cleans_up_s)
                    if self.cancelled > self.swallows:
                        raise
            return "a result"
        finally:
            self.ended.set()

    def stop(self) -> None:
        self.told.append("stop")

    def leave(self) -> None:
        self.told.append("leave")


async def cut(among: Strays, work: Work, after_s: float = 0.05) -> float:
    """Cut it short, and say how long that took."""
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(after_s):
            await among.run(work.run(), stop=work.stop, leave=work.leave)
    return time.monotonic() - began


async def test_what_ends_is_answered() -> None:
    async with Strays() as among:
        work = Work()
        work.enough.set()
        assert await among.run(work.run(), stop=work.stop, leave=work.leave) == "a result"
        assert work.told == []
        assert among.left == 0


async def test_what_swallows_every_cancellation_is_left_behind() -> None:
    async with Strays() as among:
        work = Work()
        await cut(among, work)
        assert (work.told, among.left, work.cancelled) == (["stop", "leave"], 1, 2)
        work.enough.set()
        await work.ended.wait()
        await asyncio.sleep(0)
        assert among.left == 0


async def test_with_many_left_behind_no_further_one_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strays, "MOST_LEFT", 2)
    left, waits, next_one = [Work(), Work()], Work(), Work()
    next_one.enough.set()

    def give_up(why: BaseException | None) -> None:
        for work in (*left, waits):
            work.enough.set()

    async with Strays(give_up) as among, asyncio.TaskGroup() as tasks:
        for work in left:
            await cut(among, work)
        # Whoever waits for room may be cancelled, and was never begun.
        await cut(among, waits)
        assert (among.left, waits.told, waits.cancelled) == (2, [], 0)
        told = tasks.create_task(among.run(next_one.run(), stop=next_one.stop, leave=next_one.leave))
        await asyncio.sleep(0)
        assert not next_one.ended.is_set()
        left[0].enough.set()
        assert await told == "a result"
        left[1].enough.set()


async def test_what_swallows_one_ends_by_the_next() -> None:
    async with Strays() as among:
        work = Work(swallows=1)
        await cut(among, work)
        assert (work.told, among.left) == (["stop"], 0)
        assert work.ended.is_set()


async def test_a_clean_up_has_its_time_however_often_the_waiter_is_cancelled() -> None:
    async with Strays() as among:
        work = Work(swallows=0, cleans_up_s=0.1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.06):
                await cut(among, work)
        assert (work.told, work.cancelled) == (["stop"], 1)
        assert work.ended.is_set()


async def test_one_that_cancels_itself_has_failed() -> None:
    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async with Strays() as among:
        outcome = await among.run(work(), stop=lambda: None, leave=lambda: None)
    assert isinstance(outcome, Failed)
    assert outcome.error.message == "it cancelled its own task"


@pytest.mark.parametrize("error", [None, OSError("the end")])
async def test_who_leaves_gives_up_on_those_that_do_not_end(error: OSError | None) -> None:
    given_up: list[BaseException | None] = []
    work = Work()

    def give_up(why: BaseException | None) -> None:
        given_up.append(why)
        work.enough.set()

    try:
        async with Strays(give_up) as among:
            await cut(among, work)
            if error is not None:
                raise error
    except* OSError:
        pass
    assert given_up == [error]
    assert work.ended.is_set()


async def test_who_leaves_nobody_behind_gives_up_on_nobody() -> None:
    given_up: list[BaseException | None] = []
    async with Strays(given_up.append) as among:
        await cut(among, Work(swallows=0))
    await asyncio.sleep(strays.AGAIN_S * 2)
    assert given_up == []


async def test_outside_it_nothing_is_left_behind() -> None:
    work = Work(swallows=0)
    await cut(Strays(), work)
    assert work.told == []
    assert work.ended.is_set()
