"""Migrations while daemons of two releases are there: what the older one may do, and what the newer one waits for."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import asyncpg
import pytest

from service.db import migrations as module
from service.db.daemons import Registration
from service.db.facts import inspect
from service.db.migrations import Migration, migrate, migrations, pending
from service.errors import MigrationError
from tests.db.writing import accept, rows, writing

KNOWN = migrations()
NEWEST = KNOWN[-1].number
EXPAND = Migration(9001, "9001_more", "alter table runs add column more text")
CONTRACT = Migration(9002, "9002_less", "-- contract: daemons must know 9001\nalter table runs drop column more")
INDEX = (
    "-- outside a transaction\n"
    "drop index concurrently if exists runs_by_more;\n"
    "create index concurrently runs_by_more on runs (more);\n"
)
# The first that holds to the rules below: nobody runs what came before it in production.
FIRST = 49
# What a daemon of the last release, which goes on meanwhile, may come upon.
TAKES_AWAY = re.compile(
    r"\b(drop (table|column|type|function|constraint)|rename|truncate|set not null|alter column \w+ (set data )?type|"
    r"add constraint(?!.*not valid)|add column \w+ [^,;]*not null(?![^,;]*default)|"
    r"create (unique )?index(?! concurrently))\b",
    re.I,
)

Release = Callable[..., None]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Release:
    """`release(...)`: from here on this code is of a release that knows these migrations beside today's."""
    return lambda *more: monkeypatch.setattr(module, "migrations", lambda: [*KNOWN, *more])


async def test_an_older_version_goes_on_with_a_database_that_only_has_more(database: str, release: Release) -> None:
    release(EXPAND)
    assert await migrate(database) == ["9001_more"]
    release()
    assert (await migrate(database), await pending(database)) == ([], [])
    facts = await inspect(database)
    assert (facts.ahead, facts.too_old) == (("9001_more",), "")
    async with writing(database) as older:
        await older.submit(accept("1", "a"))
    assert len(await rows(database, "select from runs")) == 1


async def test_a_version_that_is_too_old_says_so_wherever_it_comes(database: str, release: Release) -> None:
    release(EXPAND, CONTRACT)
    assert await migrate(database) == ["9001_more", "9002_less"]
    release()
    says = f"upgraded to migration 9002_less, which is for daemons that know 9001; this one knows {NEWEST:04d} at most"
    for come in (migrate, pending):
        with pytest.raises(MigrationError, match=says):
            await come(database)
    assert says in (await inspect(database)).too_old
    connection = await asyncpg.connect(database)
    with pytest.raises(MigrationError, match=says):
        await Registration(["executor"], 5.0)(connection)
    await connection.close()


async def test_nothing_is_taken_away_while_a_daemon_lives_that_needs_it(database: str, release: Release) -> None:
    async with writing(database) as older:
        release(EXPAND, CONTRACT)
        with pytest.raises(MigrationError, match=f"others still run: daemon {older.daemon} on .*: stop them"):
            await migrate(database)
        assert await pending(database) == ["9002_less"]
        async with writing(database):
            await rows(database, "update daemons set state = 'stopped' where id = $1", older.daemon)
            assert await migrate(database) == ["9002_less"]


async def test_a_daemon_that_slept_through_the_upgrade_ends_when_it_wakes(database: str, release: Release) -> None:
    async with writing(database) as older:
        await older.submit(accept("1", "a", take=True))
    await rows(database, "update daemons set renewed_at = now() - interval '1 hour' where id = $1", older.daemon)
    release(EXPAND, CONTRACT)
    assert await migrate(database) == ["9001_more", "9002_less"]
    release()
    older.post(accept("2", "a"))
    with pytest.raises(MigrationError, match="upgrade tidemill"):
        await asyncio.wait_for(older.run(), 10)
    assert [row["state"] for row in await rows(database, "select state from runs")] == ["queued"]


async def test_a_migration_that_waits_for_a_table_keeps_nobody_else_waiting(
    database: str, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_TIMEOUT", "100ms")
    release(EXPAND)
    backup = await asyncpg.connect(database)
    reading = backup.transaction()
    await reading.start()
    await backup.fetch("select from runs")
    async with writing(database) as writer, asyncio.TaskGroup() as tasks:
        migrating = tasks.create_task(migrate(database))
        for number in range(20):
            await asyncio.wait_for(writer.submit(accept(str(number), "a")), 5)
        assert not migrating.done()
        await reading.commit()
        await backup.close()
        assert await asyncio.wait_for(migrating, 20) == ["9001_more"]
    monkeypatch.setattr(module, "LOCK_TRIES", 2)
    release(EXPAND, Migration(9002, "9002_again", "alter table runs add column again text"))
    connection = await asyncpg.connect(database)
    async with connection.transaction():
        await connection.fetch("select from runs")
        with pytest.raises(MigrationError, match=r"9002_again did not get its tables' locks.* Nothing was changed"):
            await migrate(database)
    await connection.close()


async def test_an_index_is_made_beside_the_work_also_where_many_begin_at_once(
    database: str, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.05)
    release(EXPAND, Migration(9003, "9003_index", INDEX))
    applied = await asyncio.gather(*(migrate(database) for _ in range(4)))
    assert sorted(applied) == [[], [], [], ["9001_more", "9003_index"]]
    [index] = await rows(database, "select indisvalid from pg_index where indexrelid = 'runs_by_more'::regclass")
    assert index["indisvalid"]


def breaks_the_rules(migration: Migration) -> bool:
    """Whether it takes away, or locks a table while it reads it, and does not say so."""
    text = re.sub(r"--[^\n]*", "", migration.sql)
    new = "|".join(re.findall(r"create table (\w+)", text)) or "$^"
    parts = [part for part in text.split(";") if not re.search(rf"\b(on|table) ({new})\b", part)]
    return not migration.needs and any(TAKES_AWAY.search(part) for part in parts)


def test_a_migration_only_adds_or_says_who_may_go_on() -> None:
    assert [one.name for one in KNOWN if one.number >= FIRST and breaks_the_rules(one)] == []
    for text in (
        "drop table runs",
        "alter table runs drop column state",
        "alter table runs alter column state type text",
        "alter table runs add column x int not null",
        "create index runs_x on runs (state)",
        "alter table runs add constraint c check (true)",
    ):
        assert breaks_the_rules(Migration(9001, "x", text)), text
    for text in (
        "alter table runs add column x int not null default 0",
        "create table x (id int); create index x_id on x (id)",
        INDEX,
        CONTRACT.sql,
    ):
        assert not breaks_the_rules(Migration(9001, "x", text)), text


def test_a_contract_comes_a_release_after_what_it_needs() -> None:
    for one in KNOWN:
        assert one.needs == 0 or one.needs < one.number, one.name
