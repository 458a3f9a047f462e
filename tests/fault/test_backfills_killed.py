"""A backfill whose daemons die at every point of it: each tick is one run, and never more at once than asked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.backfill import described
from service.db.connect import connect, sql
from tests.db.backfilling import most_under_way, over, watch_under_way
from tests.db.writing import rows
from tests.fault.daemons import daemon_process
from tests.fault.nightly import every_night
from triggers.base import Binding

PIPELINE = "tests.fault.nightly:every_night"
ROLES = "triggers,executor"
FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 30, tzinfo=UTC)
TICKS = 180
MOST = 4


async def ask(dsn: str) -> int:
    """Begin a backfill of half a year, as the API does."""
    schedule = described(Binding("every_night", every_night.on[0]))
    connection = await connect(dsn)
    try:
        row = await connection.fetchrow(
            sql("put_backfill"),
            *("test", "every_night", "nightly", schedule, FIRST, LAST, False, False, False, MOST, -100, "kim", TICKS),
        )
        return int(row["id"])
    finally:
        await connection.close()


@pytest.mark.timeout(240)
async def test_each_tick_runs_once_when_daemons_die_before_and_after_each_commit_and_at_random(
    database: str, tmp_path: Path
) -> None:
    # The first daemon migrates; there is none that could do anything before that.
    async with daemon_process(database, tmp_path, PIPELINE, roles=ROLES):
        await watch_under_way(database)
        backfill = await ask(database)
    for fault in ("stepbackfill.commit=crash@3", "stepbackfill.committed=crash@3"):
        async with (
            daemon_process(database, tmp_path, PIPELINE, roles=ROLES, TIDEMILL_FAULTS=fault) as process,
            asyncio.timeout(60),
        ):
            await process.wait()
    for _ in range(2):
        async with daemon_process(database, tmp_path, PIPELINE, roles=ROLES):
            await asyncio.sleep(0.7)  # killed wherever it is by then
    async with (
        daemon_process(database, tmp_path, PIPELINE, roles=ROLES),
        daemon_process(database, tmp_path, PIPELINE, roles=ROLES),
    ):
        row = await over(database, backfill)
    assert row["state"] == "succeeded", dict(row)
    assert (row["started"], row["succeeded"], row["known"]) == (TICKS, TICKS, 0)
    found = await rows(database, "select e.id from runs r join events e on e.key = r.event_key")
    assert len(found) == len({one["id"] for one in found}) == TICKS
    assert await most_under_way(database) == MOST
