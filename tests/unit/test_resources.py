"""What stages take of their daemon: never more than there is, in turn, and nobody waits for what nobody can have."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

import pytest

from service.loops.resources import Resources
from service.values import Amount
from stages.base import Stage


def stage(name: str, **resources: float) -> Stage:
    return Stage(name, lambda: None, resources=resources)


def having(**amounts: float) -> Resources:
    return Resources([Amount(name, amount) for name, amount in amounts.items()])


class Holders:
    """Stages that hold what they asked for until they are let go."""

    def __init__(self, resources: Resources, tasks: asyncio.TaskGroup) -> None:
        self.now: list[str] = []
        self._resources = resources
        self._tasks = tasks
        self._ends: dict[str, asyncio.Event] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, **resources: float) -> None:
        self._ends[name] = asyncio.Event()
        self._running[name] = self._tasks.create_task(self._hold(stage(name, **resources)))
        await settled()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await settled()

    async def cancel(self, name: str) -> None:
        self._running[name].cancel()
        await settled()

    async def _hold(self, one: Stage) -> None:
        async with self._resources.of(one):
            self.now.append(one.name)
            try:
                await self._ends[one.name].wait()
            finally:
                self.now.remove(one.name)


async def settled() -> None:
    """Let everything that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_no_more_is_taken_than_there_is_and_what_is_given_back_goes_to_the_next() -> None:
    async with asyncio.TaskGroup() as tasks:
        holders = Holders(having(gpu=2), tasks)
        for name in "abc":
            await holders.ask(name, gpu=1)
        assert holders.now == ["a", "b"]
        await holders.end("a")
        assert holders.now == ["b", "c"]
        await holders.end("b")
        await holders.end("c")
        await holders.ask("d", gpu=2)
        assert holders.now == ["d"]
        await holders.end("d")


async def test_who_wants_much_is_not_overtaken_for_ever_by_those_who_want_little() -> None:
    async with asyncio.TaskGroup() as tasks:
        holders = Holders(having(gpu=2), tasks)
        await holders.ask("small", gpu=1)
        await holders.ask("large", gpu=2)
        await holders.ask("late", gpu=1)
        assert holders.now == ["small"]
        await holders.end("small")
        assert holders.now == ["large"]
        await holders.end("large")
        assert holders.now == ["late"]
        await holders.end("late")


async def test_who_waits_for_one_resource_keeps_nobody_waiting_for_another() -> None:
    async with asyncio.TaskGroup() as tasks:
        holders = Holders(having(gpu=1, cpu=1), tasks)
        await holders.ask("a", gpu=1)
        await holders.ask("b", gpu=1)
        await holders.ask("c", cpu=1)
        await holders.ask("d")
        assert holders.now == ["a", "c", "d"]
        for name in "acdb":
            await holders.end(name)


async def test_who_gives_up_waiting_or_is_cut_short_holds_nothing() -> None:
    async with asyncio.TaskGroup() as tasks:
        holders = Holders(having(gpu=2), tasks)
        await holders.ask("a", gpu=1)
        await holders.ask("large", gpu=2)
        await holders.ask("b", gpu=1)
        await holders.cancel("large")
        assert holders.now == ["a", "b"]
        await holders.cancel("a")
        await holders.ask("c", gpu=1)
        assert holders.now == ["b", "c"]
        await holders.end("b")
        await holders.end("c")


async def test_who_gives_up_in_the_moment_of_their_turn_gives_it_to_the_next() -> None:
    resources = having(gpu=1)
    async with asyncio.TaskGroup() as tasks:
        holders = Holders(resources, tasks)
        async with resources.of(stage("first", gpu=1)):
            await holders.ask("a", gpu=1)
            await holders.ask("b", gpu=1)
        cancelling = asyncio.ensure_future(holders.cancel("a"))
        await cancelling
        assert holders.now == ["b"]
        await holders.end("b")


@pytest.mark.parametrize(
    ("wanted", "told"),
    [({"gpu": 2}, "2 gpu of 1"), ({"tpu": 1}, "1 tpu of 0"), ({"gpu": 1}, None), ({}, None), ({"cpu": 0.5}, None)],
)
def test_what_can_never_be_had_is_said_at_once(wanted: Mapping[str, float], told: str | None) -> None:
    lacking = having(gpu=1).lacks(stage("train", **wanted))
    assert (lacking is None) if told is None else told in str(lacking)
    assert told is None or "TIDEMILL_EXECUTOR_RESOURCES" in str(lacking)


def test_a_daemon_has_its_cores_unless_told_otherwise() -> None:
    assert Resources().capacity == {"cpu": os.cpu_count()}
    assert having(cpu=2).capacity["cpu"] == 2
