"""What goes into which flush, and who is told when: large ones go by halves, so that Postgres need not wait for us."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from service.db.writer import LARGE, Flush, Operation
from tests.db.writing import writing


@dataclass(eq=False, slots=True)
class Note(Operation):
    """Writes nothing, and says how many of its kind were in each flush."""

    order: ClassVar[int] = 1
    sizes: list[int]

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Note]) -> Sequence[int]:
        operations[0].sizes.append(len(operations))
        return list(range(len(operations)))


@pytest.mark.parametrize(
    ("callers", "sizes"),
    [
        (LARGE - 2, [LARGE - 2, LARGE - 2, LARGE - 2]),
        (LARGE, [LARGE, LARGE // 2, LARGE // 2, LARGE // 2, LARGE // 2]),
    ],
)
async def test_callers_of_a_large_flush_go_on_by_halves(database: str, callers: int, sizes: list[int]) -> None:
    found: list[int] = []
    told: list[int] = []
    async with writing(database) as writer:

        async def caller(number: int) -> None:
            for _ in range(3):
                await writer.submit(Note(found))
                told.append(number)

        await asyncio.gather(*(caller(number) for number in range(callers)))
    assert found == sizes
    assert sorted(told) == sorted([*range(callers)] * 3)


async def test_all_of_a_large_flush_are_told_though_none_of_them_goes_on(database: str) -> None:
    async with writing(database, lease_s=3600.0) as writer, asyncio.timeout(20):
        answers = await asyncio.gather(*(writer.submit(Note([])) for _ in range(LARGE)))
        await writer.drained()
    assert answers == [[number] for number in range(LARGE)]
