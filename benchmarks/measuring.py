"""What a round measures, and how rounds of several contenders are told beside each other."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Round:
    """`units` of work done in `seconds`, with `cpu_s` of this process and `commits` of the database."""

    units: int
    seconds: float
    cpu_s: float
    commits: int

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.units / self.seconds

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU for one unit."""
        return self.cpu_s / self.units * 1e6


Contender = Callable[[], Awaitable[Round]]


async def measured(units: int, work: Callable[[], Awaitable[None]], commits: Callable[[], Awaitable[int]]) -> Round:
    """Do `work`, which is `units` of it, and say what it took. `commits` tells how many the database has made."""
    gc.collect()
    before, cpu_s, begun = await commits(), time.process_time(), time.perf_counter()
    await work()
    seconds, cpu_s = time.perf_counter() - begun, time.process_time() - cpu_s
    return Round(units, seconds, cpu_s, await commits() - before)


async def alternate(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[Round]]:
    """`rounds` of each in turn, so that what else the machine does meets all of them alike."""
    found: dict[str, list[Round]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            found[name].append(await contender())
    return found


def summary(found: Mapping[str, Sequence[Round]], limit: str) -> list[dict[str, Any]]:
    """Medians of each contender, with the spread of its rates and its ratio to `limit`."""
    best = statistics.median(one.rate for one in found[limit])
    rows = []
    for name, rounds in found.items():
        rates = [one.rate for one in rounds]
        rows.append(
            {
                "name": name,
                "per_s": statistics.median(rates),
                "slowest_per_s": min(rates),
                "fastest_per_s": max(rates),
                "ratio": statistics.median(rates) / best,
                "cpu_us": statistics.median(one.cpu_us for one in rounds),
                "commits": statistics.median(one.commits / one.units for one in rounds),
                "rounds": [asdict(one) for one in rounds],
            }
        )
    return rows


def show(title: str, unit: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a summary as a table."""
    table = Table(title=title, title_justify="left")
    for column in ("", f"{unit}/s", "spread", "ratio", f"CPU us/{unit}", f"commits/{unit}"):
        table.add_column(column, justify="left" if not column else "right")
    for row in rows:
        spread = f"{row['slowest_per_s']:,.0f} - {row['fastest_per_s']:,.0f}"
        table.add_row(
            *(row["name"], f"{row['per_s']:,.0f}", spread, f"{row['ratio']:.2f}"),
            *(f"{row['cpu_us']:,.0f}", f"{row['commits']:.3f}"),
        )
    Console(width=100).print(table)
