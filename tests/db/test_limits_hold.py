"""Limits are exact over all daemons: never exceeded, and made full use of. Told by the run log."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from service.model import RunState
from service.values import Amount
from stages.base import stage
from stages.limits import Concurrency, Rate
from stages.pipeline import Pipeline
from tests.db.daemons import daemon, reached, settings, start
from tests.db.held import most_at_once, run_moves
from tests.db.writing import rows
from triggers.event import Event

RUNS = 60


@stage
async def work(event: Event) -> int:
    for _ in range(3):
        await asyncio.sleep(0)
    return 1


@stage
async def more(work: int) -> int:
    return work


STAGES = [work, more]
PIPELINES = [
    Pipeline("single", STAGES, max_running=1),
    Pipeline("left", STAGES, pool="warehouse"),
    Pipeline("right", STAGES, pool="warehouse", priority=3),
    Pipeline("keyed", STAGES, concurrency=Concurrency("data.customer", at_most=2)),
    Pipeline("free", STAGES),
]


async def test_no_limit_is_exceeded_over_three_daemons_and_each_is_reached(database: str, tmp_path: Path) -> None:
    given = dataclasses.replace(
        settings(database, tmp_path, max_runs=20, lease_s=30.0), pools=(Amount("warehouse", 2),)
    )
    async with (
        daemon(given, *PIPELINES) as one,
        daemon(given, *PIPELINES) as two,
        daemon(given, *PIPELINES) as three,
    ):
        daemons = [one, two, three]
        runs = await asyncio.gather(
            *(
                start(daemons[n % 3], pipeline.name, f"{pipeline.name}-{n}", {"customer": n % 7})
                for n in range(RUNS)
                for pipeline in PIPELINES
            )
        )
        for run in runs:
            assert await reached(one, run) is RunState.SUCCEEDED
    moves = await run_moves(database)
    by_pipeline = most_at_once(moves, lambda entry: entry["pipeline"])
    assert by_pipeline["single"] == 1
    assert by_pipeline["free"] > 2
    assert most_at_once(moves, lambda entry: entry.get("pool")) == {"warehouse": 2}
    by_key = most_at_once(moves, lambda entry: entry.get("key"))
    assert set(by_key) == {str(customer) for customer in range(7)}
    assert set(by_key.values()) == {2}
    owners = await rows(database, "select distinct daemon from run_log")
    assert len(owners) == 3
    assert await rows(database, "select from lanes") == []


async def test_no_more_start_in_any_window_than_the_rate_allows(database: str, tmp_path: Path) -> None:
    paced = Pipeline("paced", STAGES, rate=Rate(runs=5, per_s=0.2))
    by_key = Pipeline("by_key", STAGES, rate=Rate(runs=2, per_s=0.2, key="data.customer"))
    given = settings(database, tmp_path, lease_s=30.0)
    async with daemon(given, paced, by_key) as one, daemon(given, paced, by_key) as two:
        runs = await asyncio.gather(
            *(start((one, two)[n % 2], "paced", f"p{n}") for n in range(22)),
            *(start((one, two)[n % 2], "by_key", f"k{n}", {"customer": n % 3}) for n in range(21)),
        )
        for run in runs:
            assert await reached(one, run) is RunState.SUCCEEDED
    for group, count in (("paced-", 5), ("by_key-0", 2), ("by_key-1", 2), ("by_key-2", 2)):
        found = await rows(
            database,
            "select started_at from runs where pipeline || '-' || rate_key = $1 order by started_at",
            group,
        )
        starts = [row["started_at"] for row in found]
        gaps = [(later - earlier).total_seconds() for earlier, later in zip(starts, starts[count:], strict=False)]
        assert len(gaps) >= 5
        assert min(gaps) >= 0.2
        assert sorted(gaps)[len(gaps) // 2] < 0.3
