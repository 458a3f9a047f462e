"""Which async functions need a task of their own, because they can be suspended, and so be cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable
from typing import Any

import pytest

from stages import Pipeline, stage
from stages.signature import awaits


async def through(one: int) -> int:
    return one + 1


async def with_a_generator(one: int) -> list[int]:
    return [each + 1 for each in range(one)]


async def waiting() -> None:
    await asyncio.sleep(0)


async def managing() -> None:
    async with asyncio.timeout(1):
        pass


async def looping(source: Any) -> None:
    async for _ in source:
        pass


async def gathering(source: Any) -> list[Any]:
    return [each async for each in source]


async def nested() -> Any:
    async def inner() -> None:
        await asyncio.sleep(0)

    return inner


async def suppressing() -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(0)


@functools.wraps(through)
async def wrapped(*given: Any) -> int:
    return await through(*given)


class Called:
    async def __call__(self) -> None:
        return None


def blocking() -> int:
    return 1


@pytest.mark.parametrize(
    ("function", "runner", "alone"),
    [(nested, "inline", True), (nested, "process", False), (waiting, "inline", False), (blocking, "inline", False)],
)
def test_nothing_can_stop_what_has_no_await_on_the_loop_of_the_daemon(
    function: Callable[..., Any], runner: str, alone: bool
) -> None:
    planned = Pipeline("one", [stage(name="it", runner=runner)(function)]).plan
    assert planned.stages["it"].runs_through == alone


@pytest.mark.parametrize("function", [through, with_a_generator, nested])
def test_what_has_no_await_runs_through(function: Callable[..., Any]) -> None:
    assert not awaits(function)


@pytest.mark.parametrize(
    "function",
    [waiting, managing, looping, gathering, suppressing, wrapped, functools.partial(through, 1), Called(), len],
)
def test_whatever_may_be_suspended_or_cannot_be_read_is_taken_to_be(function: Callable[..., Any]) -> None:
    assert awaits(function)
