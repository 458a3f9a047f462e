"""What a round measures, and how rounds of several contenders are told beside each other."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.tables import Column, Table

LOOK_S = 0.001


@dataclass(frozen=True, slots=True)
class Round:
    """`units` of work done in `seconds`, with `cpu_s` of the processes at work and `commits` of the database."""

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


async def measured(
    units: int,
    work: Callable[[], Awaitable[None]],
    commits: Callable[[], Awaitable[int]],
    cpu_s: Callable[[], float] = time.process_time,
) -> Round:
    """Do `work`, which is `units` of it, and say what it took.

    `commits` tells how many the database has made so far, `cpu_s` how much CPU time the work has had so far.
    """
    gc.collect()
    before, used_s, begun = await commits(), cpu_s(), time.perf_counter()
    await work()
    seconds, used_s = time.perf_counter() - begun, cpu_s() - used_s
    return Round(units, seconds, used_s, await commits() - before)


async def alternate(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[Round]]:
    """`rounds` of each in turn, so that what else the machine does meets all of them alike."""
    found: dict[str, list[Round]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            found[name].append(await contender())
    return found


async def until(reached: Callable[[], bool]) -> None:
    """Wait until it is so, to the millisecond. What is waited for tells nobody of it."""
    while not reached():  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)


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
                "spread": f"{min(rates):,.0f} - {max(rates):,.0f}",
                "ratio": statistics.median(rates) / best,
                "cpu_us": statistics.median(one.cpu_us for one in rounds),
                "commits": statistics.median(one.commits / one.units for one in rounds),
                "rounds": [asdict(one) for one in rounds],
            }
        )
    return rows


def rates(title: str, unit: str, rows: Sequence[Mapping[str, Any]], *notes: str) -> Table:
    """A table of what `summary` tells."""
    columns = [
        Column("per_s", f"{unit}s/s"),
        Column("spread", "spread"),
        Column("ratio", "ratio", ".2f"),
        *costs(unit),
    ]
    return Table(title, columns, rows, notes)


def cost(round_: Round) -> dict[str, float]:
    """The CPU time and the commits of a unit, for the columns of `costs`."""
    return {"cpu_us": round_.cpu_us, "commits": round_.commits / round_.units}


def costs(unit: str) -> list[Column]:
    """Columns for what `cost` tells."""
    return [Column("cpu_us", f"CPU us/{unit}", ",.1f"), Column("commits", f"commits/{unit}", ".3g")]


def percentiles(name: str, times_s: Sequence[float]) -> dict[str, Any]:
    """A row of `latencies`, in milliseconds."""
    ordered = sorted(times_s)

    def at(part: float) -> float:
        return ordered[min(int(part * len(ordered)), len(ordered) - 1)] * 1e3

    return {"name": name, "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99), "times": len(ordered)}


def latencies(title: str, rows: Sequence[Mapping[str, Any]], *notes: str) -> Table:
    """A table of what `percentiles` tells; rows may have a `ratio` too."""
    columns = [Column(f"p{part}_ms", f"p{part} ms", ",.2f") for part in (50, 95, 99)]
    return Table(title, [*columns, Column("ratio", "ratio of p50", ".1f"), Column("times", "measured")], rows, notes)
