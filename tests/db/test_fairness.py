"""A backlog in one pipeline does not keep another's runs waiting, and does not make claiming them dearer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from service.db.accept import Accept
from service.db.claims import Claim
from service.db.offered import RunRow
from service.db.rows import Row
from service.db.writer import Flush, Operation, Writer
from service.limits import UNLIMITED, RunLimits
from service.loops import executor
from service.model import RunState
from stages.base import stage
from stages.limits import Concurrency, Rate
from stages.pipeline import Pipeline
from stages.policy import RunPolicy
from tests.db.daemons import daemon, reached, settings, start
from tests.db.writing import event_row, rows, writing
from triggers.event import Event

BACKLOG = 10_000
PLACES = 4


@pytest.fixture(autouse=True)
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes on, goes on because somebody was woken."""
    monkeypatch.setattr(executor, "SAFETY_POLL_S", 60.0)


async def fill(writer: Writer, pipeline: str, count: int, limits: RunLimits = UNLIMITED, version: str = "v1") -> None:
    """Queue `count` runs."""
    for first in range(0, count, 1000):
        events = [event_row(f"{pipeline}-{n}") for n in range(first, min(first + 1000, count))]
        runs = [RunRow(one.key, pipeline, version, "test", b"{}", 0, False, limits) for one in events]
        await writer.submit(Accept(events, runs, []))


BLOCKED = {
    "no limit": (Pipeline, {}, UNLIMITED),
    "one at a time": (Pipeline, {"max_running": 1}, RunLimits(limited=True)),
    "one busy key": (Pipeline, {"concurrency": Concurrency("subject")}, RunLimits(limited=True, key="x")),
    "a slow rate": (Pipeline, {"rate": Rate(1, 3600)}, RunLimits(limited=True, rate_key="")),
}


@pytest.mark.parametrize("name", BLOCKED)
async def test_ten_thousand_queued_runs_do_not_delay_a_run_of_another_pipeline(
    database: str, tmp_path: Path, name: str
) -> None:
    turns, began = asyncio.Semaphore(0), asyncio.Semaphore(0)
    order: list[str] = []

    @stage
    async def busy(event: Event) -> int:
        order.append("many")
        began.release()
        await turns.acquire()
        return 1

    @stage
    async def quick(event: Event) -> int:
        order.append("few")
        return 1

    _, limit, marks = BLOCKED[name]
    many, few = Pipeline("many", [busy], **limit), Pipeline("few", [quick])
    async with writing(database) as writer:
        await fill(writer, "many", BACKLOG, marks, many.version)
    async with daemon(settings(database, tmp_path, max_runs=PLACES, drain_s=0, lease_s=30.0), many, few) as one:
        for _ in range(PLACES if name == "no limit" else 1):
            await began.acquire()
        run = await start(one, "few", "1")
        if name == "no limit":
            assert order == ["many"] * PLACES
            turns.release()
        assert await reached(one, run) is RunState.SUCCEEDED
        assert order.index("few") == (PLACES if name == "no limit" else 1)


@dataclass(eq=False, slots=True)
class RowsRead(Operation):
    """How many rows of `runs` this session has fetched so far, before the claims of its flush."""

    order: ClassVar[int] = 59

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[RowsRead]) -> Sequence[int]:
        """Told by the statistics that are not sent yet."""
        query = "select idx_tup_fetch from pg_stat_xact_user_tables where relname = 'runs'"
        return [await flush.connection.fetchval(query)] * len(operations)


@dataclass(eq=False, slots=True)
class RowsReadThen(RowsRead):
    """The same after the claims."""

    order: ClassVar[int] = 61


async def claim(writer: Writer, limits: Mapping[str, RunPolicy]) -> tuple[Sequence[Row], float | None, int]:
    """Claim one run; what came of it, and how many rows were looked at."""
    claiming = Claim({"many": "v1", "few": "v1"}, lambda: 1, lambda limit, found, next_s: None, limits)
    [before, (found, next_s), after] = await writer.submit(RowsRead(), claiming, RowsReadThen())
    return found, next_s, after - before


async def finish(dsn: str, run: Row) -> None:
    """End a run behind everybody's back."""
    query = "update runs set state = 'succeeded', owner = null, finished_at = now() where id = $1"
    await rows(dsn, query, run["id"])


@pytest.mark.parametrize(
    ("limits", "marks"),
    [
        ({}, UNLIMITED),
        ({"max_running": 1}, RunLimits(limited=True)),
        ({"pool": "warehouse"}, RunLimits(limited=True, pool="warehouse")),
        ({"concurrency": Concurrency("subject")}, RunLimits(limited=True, key="x")),
        ({"rate": Rate(1, 3600)}, RunLimits(limited=True, rate_key="")),
        ({"rate": Rate(1, 3600, "subject")}, RunLimits(limited=True, rate_key="x")),
    ],
    ids=["no limit", "max_running", "pool", "key", "rate", "rate by key"],
)
async def test_what_is_blocked_is_not_looked_at_again(
    database: str, limits: Mapping[str, Any], marks: RunLimits
) -> None:
    policies = {"many": RunPolicy(**limits)} if limits else {}
    await rows(database, "insert into pools values ('warehouse', 1)")
    async with writing(database, lease_s=60) as writer:
        await fill(writer, "many", BACKLOG, marks)
        found, next_s, _ = await claim(writer, policies)
        assert [row["pipeline"] for row in found] == ["many"]
        while policies and (found or next_s == 0):
            found, next_s, _ = await claim(writer, policies)
        await fill(writer, "few", 3)
        for _ in range(3 if policies else 1):
            found, next_s, read = await claim(writer, policies)
            assert [row["pipeline"] for row in found] == ["few"]
            assert read < 30
    [queued] = await rows(database, "select count(*) as runs from runs where pipeline = 'many' and state = 'queued'")
    assert queued["runs"] == BACKLOG - 1


async def test_places_are_shared_by_pipelines_that_have_a_backlog_each(database: str) -> None:
    async with writing(database) as writer:
        for name, count in (("many", 50), ("few", 10), ("rare", 2)):
            await fill(writer, name, count)
        claiming = Claim({"many": "v1", "few": "v1", "rare": "v1"}, lambda: 12, lambda limit, found, next_s: None)
        [(found, _)] = await writer.submit(claiming)
        names = [row["pipeline"] for row in found]
        assert {name: names.count(name) for name in names} == {"many": 5, "few": 5, "rare": 2}


@pytest.mark.rows_by_hand
async def test_a_low_priority_goes_last_until_it_has_waited_long_enough(database: str) -> None:
    async def take(writer: Writer) -> str:
        [([row], _)] = await writer.submit(
            Claim({"many": "v1", "few": "v1"}, lambda: 1, lambda limit, found, next_s: None)
        )
        await rows(
            database, "update runs set state = 'succeeded', owner = null, finished_at = now() where id = $1", row["id"]
        )
        return str(row["pipeline"])

    async with writing(database) as writer:
        await fill(writer, "many", 1)
        await fill(writer, "few", 4)
        await rows(database, "update runs set priority = 5 where pipeline = 'few'")
        await rows(database, "update runs set ready_at = now() - interval '4 minutes' where pipeline = 'many'")
        assert await take(writer) == "few"
        await rows(database, "update runs set ready_at = now() - interval '6 minutes' where pipeline = 'many'")
        assert await take(writer) == "many"
