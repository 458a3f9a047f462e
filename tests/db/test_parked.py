"""A run that waits for a person outlives restarts, a week and a migration, and goes on at once when approved.

The daemon that parks it is today's. Its rows are then put into a database with the tables and columns of the first two
migrations only, as an older version would have left them. The clock of a database cannot be moved: every instant in it
is moved back by a week instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.db import migrations as applied
from service.db.migrations import migrate, migrations, pending
from service.model import RunState
from tests.db.api import api
from tests.db.daemons import reached
from tests.db.writing import rows

OLD = 2
COLUMNS = """
    select c.table_name as table, c.column_name as column, c.data_type as type, c.is_identity = 'YES' as identity
    from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
    where c.table_schema = 'public' and t.table_type = 'BASE TABLE' and c.table_name <> 'migrations'
    order by c.table_name, c.ordinal_position
"""


async def test_a_run_parked_for_a_week_survives_restarts_and_a_migration_and_goes_on_at_once(
    database: str, empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
    await migrate_to(empty_database, OLD, monkeypatch)
    await move_rows(database, empty_database)
    await rows(empty_database, "update gates set evidence = $1", b'{"by":["leads"]}')
    await pass_a_week(empty_database)
    assert await pending(empty_database) == [one.name for one in migrations()[OLD:]] != []
    [parked] = await rows(empty_database, "select state, epoch, ready_at, queued_at < now() - '6 days'::interval as old"
                                          " from runs")  # fmt: skip
    assert tuple(parked) == ("waiting", 1, None, True)

    for _ in range(2):
        async with api(empty_database, tmp_path) as one:
            assert await pending(empty_database) == []
            shown = (await one.http.get(f"/api/v1/runs/{run}")).json()
            assert (shown["state"], shown["epoch"], shown["waits_for"]) == (
                "waiting", 1, "somebody to decide gate add-double",
            )  # fmt: skip

    async with api(empty_database, tmp_path) as one:
        answer = await one.post(
            f"/api/v1/runs/{run}/gates/add-double/approve",
            {"by": "kim", "subject": shown["gates"][0]["subject"], "reason": "back from holiday"},
        )
        assert answer.json()["state"] == "passed", answer.text
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
        [gate] = (await one.http.get(f"/api/v1/runs/{run}")).json()["gates"]
    assert [(told["state"], told["decided_by"]) for told in gate["history"]] == [
        ("waiting", "approved"), ("passed", "kim"),
    ]  # fmt: skip
    made = await rows(
        empty_database, "select stage, attempt, epoch, state from attempts where run_id = $1 order by epoch", run
    )
    assert [tuple(row) for row in made] == [("add", 1, 1, "succeeded"), ("double", 1, 2, "succeeded")]
    [apart] = await rows(
        empty_database,
        "select extract(epoch from r.finished_at - v.at) as seconds from runs r join gate_votes v on v.run_id = r.id",
    )
    assert apart["seconds"] < 10


async def migrate_to(dsn: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring a database to an older version."""
    known = migrations()
    with monkeypatch.context() as patched:
        patched.setattr(applied, "migrations", lambda: known[:number])
        await migrate(dsn)


async def move_rows(source: str, target: str) -> None:
    """Put all rows into a database that may lack some of their columns, or their whole tables."""
    there = _by_table(await rows(target, COLUMNS))
    known = {(row["table"], row["column"]) for row in await rows(source, COLUMNS)}
    connection = await asyncpg.connect(target)
    try:
        for table, columns in there.items():
            names = [row["column"] for row in columns if (table, row["column"]) in known]
            listed = ", ".join(f'"{name}"' for name in names)
            records = [tuple(row) for row in await rows(source, f"select {listed} from {table}")]
            await connection.execute(f"delete from {table}")
            await connection.copy_records_to_table(table, records=records, columns=names)
            for column in [row["column"] for row in columns if row["identity"]]:
                number = f"(select coalesce(max({column}), 0) + 1 from {table})"
                await connection.execute(
                    f"select setval(pg_get_serial_sequence('{table}', '{column}'), {number}, false)"
                )
    finally:
        await connection.close()


async def pass_a_week(dsn: str) -> None:
    """Move every instant back."""
    for table, columns in _by_table(await rows(dsn, COLUMNS)).items():
        moved = [row["column"] for row in columns if row["type"] == "timestamp with time zone"]
        if moved:
            changes = ", ".join(f"{column} = {column} - interval '7 days'" for column in moved)
            await rows(dsn, f"update {table} set {changes}")


def _by_table(found: Iterable[Any]) -> dict[str, list[Any]]:
    tables: dict[str, list[Any]] = {}
    for row in found:
        tables.setdefault(row["table"], []).append(row)
    return tables


async def test_a_gate_decided_by_an_older_version_tells_who_did(
    database: str, empty_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        await one.post(f"/api/v1/runs/{run}/gates/add-double/approve", {"by": "kim"})
        await reached(one.daemon, run)
    await migrate_to(empty_database, OLD, monkeypatch)
    await move_rows(database, empty_database)
    told = b'{"by":"kim","decision":"approved","event":"00000000-0000-0000-0000-000000000001"}'
    await rows(empty_database, "update gates set evidence = $1", told)
    async with api(empty_database, tmp_path) as one:
        again = await one.post(f"/api/v1/runs/{run}/gates/add-double/approve", {"by": "kim"})
        assert (await one.post(f"/api/v1/runs/{run}/gates/add-double/approve", {"by": "lou"})).status_code == 409
        [gate] = (await one.http.get(f"/api/v1/runs/{run}")).json()["gates"]
    assert (again.status_code, again.json()["decided_by"]) == (200, "kim")
    assert [(vote["by"], vote["decision"], vote["role"]) for vote in gate["votes"]] == [("kim", "approved", None)]
    assert [found["state"] for found in gate["history"]] == ["passed"]
