"""Postgres goes away and comes back while a daemon works: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from service.db.migrations import migrate
from service.embedded.postgres import EmbeddedPostgres
from service.model import RunState
from stages import Event, Pipeline, stage
from tests.db.daemons import attempts, daemon, event, reached, settings, start
from tests.db.writing import rows
from tests.fault.daemons import daemon_process
from triggers.base import Arrival, Offer
from triggers.errors import InboxBusy

calls: Counter[str] = Counter()
began, allowed = asyncio.Event(), asyncio.Event()


@stage
async def first(event: Event) -> int:
    calls["first"] += 1
    return int(event.data)


@stage
async def slow(first: int) -> int:
    calls["slow"] += 1
    began.set()
    await allowed.wait()
    return first


@stage
async def last(slow: int) -> int:
    calls["last"] += 1
    return slow


pipeline = Pipeline("outage", [first, slow, last])


async def test_a_stage_that_runs_while_postgres_is_away_finishes_and_its_result_waits(home: Path) -> None:
    async with EmbeddedPostgres(home) as dsn:
        await migrate(dsn)
    server = EmbeddedPostgres(home)
    dsn = await server.start()
    given = settings(dsn, home)
    async with daemon(given, pipeline) as one:
        run = await start(one, "outage", "1", 7)
        await began.wait()
        await server.stop()
        allowed.set()
        with pytest.raises(InboxBusy):
            await until_busy(one)
        server = EmbeddedPostgres(home)
        assert await server.start() == dsn
        assert await reached(one, run) is RunState.SUCCEEDED
        other = await start(one, "outage", "3", 8)
        assert await reached(one, other) is RunState.SUCCEEDED
        assert await attempts(one, run) == [(name, 1, "succeeded") for name in ("first", "slow", "last")]
        assert len(await rows(dsn, "select from daemons")) == 1
        runs = len(await rows(dsn, "select from runs where state = 'succeeded'"))
    await server.stop()
    # What was refused as "try again" may have been written all the same; nothing was computed twice.
    assert calls == dict.fromkeys(("first", "slow", "last"), runs)


async def until_busy(one: object) -> None:
    """Accept until the daemon says that Postgres is away."""
    async with asyncio.timeout(20):
        while True:
            await one.inbox.accept([Arrival(event("2", 1), [Offer("outage", "test")])])  # type: ignore[attr-defined]


async def test_sigterm_ends_a_daemon_whose_postgres_is_away(home: Path) -> None:
    server = EmbeddedPostgres(home)
    dsn = await server.start()
    async with daemon_process(dsn, home, "tests.fault.six:six") as process:
        await server.stop()
        process.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
