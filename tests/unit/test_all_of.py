"""Many values are saved and loaded a few at a time."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from stages.values import AT_ONCE, BREATH, all_of


class Door:
    """Counts those within, and lets them out by hand."""

    def __init__(self) -> None:
        self.within = self.most = 0

    async def through(self, number: int) -> int:
        self.within += 1
        self.most = max(self.most, self.within)
        await asyncio.sleep(0)
        self.within -= 1
        return number


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, 5 * AT_ONCE + 1])
async def test_answers_come_in_their_order_and_no_more_than_a_few_are_asked_at_once(count: int) -> None:
    door = Door()
    assert await all_of([partial(door.through, number) for number in range(count)]) == list(range(count))
    assert door.most == min(count, AT_ONCE)


async def test_the_first_error_ends_the_rest_and_is_raised() -> None:
    asked = []

    async def fails(number: int) -> int:
        asked.append(number)
        await asyncio.sleep(0)
        if number == 3:
            raise ValueError("three")
        return number

    with pytest.raises(ValueError, match="three"):
        await all_of([partial(fails, number) for number in range(50 * AT_ONCE)])
    assert len(asked) <= 3 * AT_ONCE


async def test_others_are_let_in_between_values_that_need_no_waiting() -> None:
    async def at_once(number: int) -> int:
        return number

    seen = []
    work = asyncio.ensure_future(all_of([partial(at_once, number) for number in range(10 * BREATH * AT_ONCE)]))
    while not work.done():
        seen.append(work.done())
        await asyncio.sleep(0)
    assert len(seen) >= 10
