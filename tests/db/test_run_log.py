"""The run log is kept in days: made ahead, dropped once every sink has read them. A missing one fails nobody."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson
import pytest

from service.clock import SystemClock
from service.db import migrations as all_migrations
from service.db.connect import connect
from service.db.migrations import migrate, migrations
from service.db.sinks import announce_sinks, tailing
from service.errors import Conflict
from service.loops.run_log import RunLogDays
from service.retention import DAY_S
from tests.db.writing import accept, rows, writing

OLD = "20260101"
PARTS = "select name from run_log_parts where until < now() order by until"
WROTE = "insert into run_log (daemon, entries, at) select 1, '[]', now() - make_interval(days => $1)"


def days(database: str) -> RunLogDays:
    return RunLogDays(database, 7 * DAY_S, SystemClock())


@asynccontextmanager
async def an_old_part(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A log whose first part is long over, and holds a row."""
    connection = await connect(database)
    await connection.execute("drop table run_log_before")
    await connection.execute("select make_run_log_part($1::text::date)", OLD)
    await connection.execute("insert into run_log (daemon, entries, at) values (1, '[]', '2026-01-01 12:00+00')")
    yield connection
    await connection.close()


async def parts(database: str) -> Sequence[str]:
    return [row["name"] for row in await rows(database, PARTS)]


async def read_all(database: str, sink: str) -> int:
    """Deliver for a sink until nothing is left; how many rows it was."""
    count = 0
    async with tailing(database, sink) as tail:
        while (page := await tail.page()) is not None:
            count += len(page.entries)
            await tail.move(page.last, delivered=0, refused=0)
    return count


async def test_a_page_for_a_sink_holds_few_entries_however_many_a_row_has(database: str) -> None:
    """Rows with one entry come a hundred at a time; then one with 5,000, and thirty with 400."""
    await announce_sinks(database, ["sink"])
    sizes = [*[1] * 150, 5_000, *[400] * 30]
    numbers = itertools.count()
    for size in sizes:
        entries = orjson.dumps([{"n": next(numbers)} for _ in range(size)])
        await rows(database, "insert into run_log (daemon, entries) values (1, $1)", entries)
    pages, told = [], []
    async with tailing(database, "sink") as tail:
        while (page := await tail.page()) is not None:
            pages.append(len(page.entries))
            told += [one.told["n"] for one in page.entries]
            await tail.move(page.last, delivered=0, refused=0)
    assert told == list(range(sum(sizes)))
    assert pages[:2] == [100, 50 + 5_000]
    assert max(pages[2:]) == 1_200
    assert len(pages) == 2 + 10


async def test_the_next_days_are_made_ahead_and_once(database: str) -> None:
    await rows(database, "drop table run_log_before")
    for _ in range(2):
        await days(database).tidy()
    names = {row["name"] for row in await rows(database, "select name from run_log_parts")}
    today = datetime.now(UTC).date()
    assert {f"run_log_{today + timedelta(days=n):%Y%m%d}" for n in range(4)} <= names


async def test_a_part_goes_once_every_sink_has_read_it(database: str, caplog: pytest.LogCaptureFixture) -> None:
    await announce_sinks(database, ["quick", "slow"])
    async with an_old_part(database):
        await read_all(database, "quick")
        await days(database).tidy()
        assert await parts(database) == [f"run_log_{OLD}"]
        assert "not yet delivered to slow" in caplog.text
        await read_all(database, "slow")
        await days(database).tidy()
        assert await parts(database) == []


async def test_a_part_is_kept_for_as_long_as_was_said(database: str) -> None:
    async with an_old_part(database):
        await RunLogDays(database, 36_500 * DAY_S, SystemClock()).tidy()
        assert await parts(database) == [f"run_log_{OLD}"]


async def test_a_sink_that_nobody_has_any_more_holds_nothing_back(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    await announce_sinks(database, ["gone"])
    await rows(database, "update sinks set moved_at = now() - interval '8 days'")
    async with an_old_part(database):
        async with tailing(database, "gone"):
            await days(database).tidy()
        assert await parts(database) == [f"run_log_{OLD}"]
        caplog.clear()
        await days(database).tidy()
        assert await parts(database) == []
        assert "sink gone, which no daemon has any more" in caplog.text


async def test_a_day_without_a_part_fails_nobody(database: str) -> None:
    await announce_sinks(database, ["sink"])
    await rows(database, "drop table run_log_before")
    async with writing(database) as writer:
        await writer.submit(accept("1", "p"))
        [row] = await rows(database, "select count(*) from run_log_rest")
        assert row["count"] == 1
        await days(database).tidy()
        await writer.submit(accept("2", "p"))
    assert await read_all(database, "sink") == 2


async def test_rows_of_days_without_a_part_go_once_they_are_old_and_read(database: str) -> None:
    await announce_sinks(database, ["sink"])
    await rows(database, "drop table run_log_before")
    for age in (30, 1):
        await rows(database, WROTE, age)
    await days(database).tidy()
    assert len(await rows(database, "select from run_log_rest")) == 2
    await read_all(database, "sink")
    await days(database).tidy()
    [left] = await rows(database, "select at > now() - interval '2 days' as young from run_log_rest")
    assert left["young"]


async def test_who_holds_the_log_is_waited_for_a_moment_and_no_writer_longer(database: str) -> None:
    async with an_old_part(database) as reader, writing(database) as writer, reader.transaction():
        await reader.fetch("select from run_log")
        with pytest.raises(Conflict, match="another time"):
            await days(database).tidy()
        await writer.submit(accept("1", "p"))
    await days(database).tidy()
    assert await parts(database) == []


async def test_a_log_from_before_the_days_is_read_on_where_each_sink_was(
    empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 49 is for the writer of today, which also tells what it knows.
    known = [one for one in migrations() if one.number < 39 or one.number == 49]
    monkeypatch.setattr(all_migrations, "migrations", lambda: known)
    await migrate(empty_database)
    await announce_sinks(empty_database, ["sink"])
    async with writing(empty_database) as writer:
        await writer.submit(accept("1", "p"))
        assert await read_all(empty_database, "sink") == 1
        await writer.submit(accept("2", "p"))
        monkeypatch.undo()
        await migrate(empty_database)
        await writer.submit(accept("3", "p"))
    seqs = [row["seq"] for row in await rows(empty_database, "select seq from run_log order by xid, seq")]
    assert seqs == [1, 2, 3]
    assert await read_all(empty_database, "sink") == 2
    [kept] = await rows(empty_database, "select count(*) from run_log_before")
    assert kept["count"] == 3
