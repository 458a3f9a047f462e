"""Events that share runs while several processes accept, join and claim them, and die at their commits."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import orjson
import pytest

from tests.db.writing import members, rows, until
from tests.fault.processes import running_module
from tests.fault.sharing import LIMIT, MOST

EVENTS = 120
FAULTS = (
    "accept.commit=crash@7",
    "accept.committed=crash@5",
    "claim.commit=crash@2",
    "claim.committed=crash@3",
    "writer.commit=crash@11",
)


def sharing(
    dsn: str, folder: Path, policy: str, seed: int, faults: str = ""
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """One such process, killed at the end of the block."""
    return running_module("tests.fault.sharing", dsn, folder, policy, EVENTS, seed, TIDEMILL_FAULTS=faults)


async def tell_until_done(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(90):
        assert await process.stdout.readline() == b"done\n"


async def die_in_turn(dsn: str, folder: Path, policy: str) -> None:
    """Processes that die at each point, beside one that lives on; at the end two of them have told everything."""
    async with sharing(dsn, folder, policy, 1) as steady:
        for seed, fault in enumerate(FAULTS, 2):
            async with sharing(dsn, folder, policy, seed, fault) as process, asyncio.timeout(60):
                await process.wait()
        async with sharing(dsn, folder, policy, 99) as last:
            await tell_until_done(steady)
            await tell_until_done(last)
            await until(dsn, 90, "select not exists (select from runs where finished_at is null)")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("policy", ["batch", "latest"])
async def test_each_event_is_in_one_run_whoever_dies(database: str, tmp_path: Path, policy: str) -> None:
    await die_in_turn(database, tmp_path, policy)
    shared = await members(database)
    told = Counter(event_id for events in shared.values() for event_id in events)
    assert told == Counter(str(number) for number in range(EVENTS))
    gathered = {row["id"]: row["gathered"] for row in await rows(database, "select id, gathered from runs")}
    assert gathered == {run: len(events) for run, events in shared.items()}
    if policy == "batch":
        assert max(gathered.values()) <= MOST
        assert all(len({event_id[-1] for event_id in events}) == 1 for events in shared.values())
    outputs = "select run_id, output_inline from attempts where state = 'succeeded'"
    seen = {row["run_id"]: orjson.loads(row["output_inline"]) for row in await rows(database, outputs)}
    assert seen == shared


@pytest.mark.timeout(300)
async def test_no_more_runs_start_than_the_limit_allows_whoever_dies(database: str, tmp_path: Path) -> None:
    await die_in_turn(database, tmp_path, "limited")
    [runs] = await rows(database, "select count(*) as n, count(distinct event_key) as events from runs")
    assert (runs["n"], runs["events"]) == (LIMIT, LIMIT)
    [fates] = await rows(database, "select count(*) as n from fates where fate = 'rate-limited'")
    assert fates["n"] == EVENTS - LIMIT
