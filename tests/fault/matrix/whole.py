"""Runs cells, some at once, each lane of them on servers of its own."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.fault.matrix.cell import Outcome, run_cell
from tests.fault.matrix.ground import ground
from tests.fault.matrix.table import Place
from tests.fault.warm import Warm

Told = Outcome


async def run_all(cells: Sequence[Place], folder: Path, lanes: int, say: Callable[[Told], None]) -> list[Outcome]:
    """How each of them went."""
    waiting, numbers = iter(cells), itertools.count(1)
    outcomes: list[Outcome] = []
    async with Warm() as warm, asyncio.TaskGroup() as tasks:
        for lane in range(min(lanes, len(cells))):
            (folder / f"lane-{lane}").mkdir()
            tasks.create_task(_lane(waiting, numbers, warm, folder / f"lane-{lane}", outcomes, say))
    return outcomes


async def _lane(
    waiting: Iterator[Place],
    numbers: Iterator[int],
    warm: Warm,
    folder: Path,
    outcomes: list[Outcome],
    say: Callable[[Told], None],
) -> None:
    async with ground(folder) as one:
        for cell in waiting:
            place = folder / f"cell-{next(numbers)}"
            outcome = await run_cell(one, warm, place, cell.recipe, cell.point, cell.kind, cell.nth)
            say(outcome)
            outcomes.append(outcome)
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)
