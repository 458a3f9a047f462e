"""What a run costs the database does not depend on how many have finished: rows that are touched are counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from service.db.sinks import announce_sinks, tailing
from stages import Event, Pipeline, stage
from tests.db.daemons import daemon, reached, settings, start
from tests.db.writing import accept, rows, writing
from triggers.base import Position

RUNS = 40
# A run of two stages is written, looked up and changed by its keys: so many rows of indexes are read for it, at most.
READ_PER_RUN = 20
HISTORY = {"events", "runs", "fates", "attempts", "gates", "stage_logs", "run_log_before"}

OTHERS = """
select from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""
WALKED = "select relname as name, seq_scan as count from pg_stat_user_tables"
READ = "select indexrelname as name, idx_tup_read as count from pg_stat_user_indexes"
UPDATED = "select relname as name, n_tup_upd as count from pg_stat_user_tables"
IN_PLACE = "select relname as name, n_tup_hot_upd as count from pg_stat_user_tables"


@stage
async def first(event: Event) -> int:
    return 1


@stage
async def second(first: int) -> int:
    return first + 1


work = Pipeline("work", [first, second])


async def counted(database: str, query: str) -> Counter[str]:
    """What the server has counted, once every connection has told it all."""
    async with asyncio.timeout(30):
        while await rows(database, OTHERS):
            await asyncio.sleep(0.02)
    return Counter({row["name"]: row["count"] for row in await rows(database, query)})


async def test_runs_are_found_by_their_keys_among_ten_million(history: str, tmp_path: Path) -> None:
    walked, read = await counted(history, WALKED), await counted(history, READ)
    async with daemon(settings(history, tmp_path), work) as one:
        for run in [await start(one, "work", str(n)) for n in range(RUNS)]:
            await reached(one, run)
    walked, read = await counted(history, WALKED) - walked, await counted(history, READ) - read
    assert not HISTORY & set(walked)
    assert read.total() <= READ_PER_RUN * RUNS, read


async def test_what_is_written_again_and_again_is_written_in_place(database: str) -> None:
    """No index has to be told of a lease that is renewed, nor of a position or a sink that moves."""
    await announce_sinks(database, ["sink"])
    async with writing(database) as writer:
        for n in range(RUNS):
            await writer.submit(accept(str(n), "p", position=Position("s", "k", str(n))))
        async with tailing(database, "sink") as tail:
            while (page := await tail.page()) is not None:
                await tail.move(page.last, delivered=1, refused=0)
    updated, in_place = await counted(database, UPDATED), await counted(database, IN_PLACE)
    for table in ("daemons", "positions", "sinks"):
        assert updated[table] == in_place[table] > 0
