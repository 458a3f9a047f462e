"""A backup that is cut short leaves the one before as it was, and the next one is whole."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from service.backup import back_up, restore
from service.embedded.postgres import packaged_programs
from service.errors import Invalid, ServiceError
from stages.local_store import LocalStore
from tests.db.writing import accept, rows, writing
from tests.fault.processes import all_gone
from tests.fault.test_backup import tidemill
from triggers import faults

# The first program that a backup starts is pg_dump, the first that a restoration starts pg_restore.
POINTS = ("command.start", "command.started", "artifact.put", "artifact.kept", "backup.dumped")


async def fill(database: str, store: LocalStore, *numbers: int) -> None:
    """An event, its run and an artifact for each number."""
    async with writing(database) as writer:
        for number in numbers:
            await writer.submit(accept(str(number), "once"))
            await store.put(bytes([number]) * 9000)


async def runs(dsn: str) -> int:
    [row] = await rows(dsn, "select count(*) as runs from runs")
    return int(row["runs"])


@pytest.mark.parametrize("point", POINTS)
async def test_what_was_cut_short_is_not_taken_for_whole(
    database: str, empty_database: str, tmp_path: Path, point: str
) -> None:
    store, folder = LocalStore(tmp_path / "store"), tmp_path / "backup"
    variables = {"TIDEMILL_DATABASE_URL": database, "TIDEMILL_ARTIFACTS": (tmp_path / "store").as_uri()}
    await fill(database, store, 1)
    assert await tidemill("backup", folder, **variables, TIDEMILL_FAULTS=f"{point}=crash") == (137, "")
    with pytest.raises(Invalid, match="holds no whole backup"):
        await restore(folder, empty_database, (tmp_path / "none").as_uri(), packaged_programs())
    code, out = await tidemill("backup", folder, **variables)
    assert (code, out.startswith("backed up 1 artifacts")) == (0, True), out

    await fill(database, store, 2, 3)
    assert await tidemill("backup", folder, **variables, TIDEMILL_FAULTS=f"{point}=crash") == (137, "")
    there = tmp_path / "there"
    await restore(folder, empty_database, there.as_uri(), packaged_programs())
    assert await runs(empty_database) == (3 if point == "backup.dumped" else 1)
    assert len([one async for one in LocalStore(there).stored()]) >= await runs(empty_database)
    made = await back_up(database, variables["TIDEMILL_ARTIFACTS"], folder, packaged_programs())
    assert (made.artifacts, made.missing) == (3, ())
    assert sorted(one.name for one in folder.iterdir()) == ["artifacts", "backup.json", "database.dump"]


@pytest.mark.parametrize("point", ["artifact.put", "command.start", "command.started"])
async def test_a_restoration_that_is_cut_short_can_be_repeated(
    database: str, empty_database: str, tmp_path: Path, point: str
) -> None:
    folder, there = tmp_path / "backup", tmp_path / "there"
    await fill(database, LocalStore(tmp_path / "store"), 1, 2)
    await back_up(database, (tmp_path / "store").as_uri(), folder, packaged_programs())
    variables = {"TIDEMILL_DATABASE_URL": empty_database, "TIDEMILL_ARTIFACTS": there.as_uri()}
    assert await tidemill("restore", folder, **variables, TIDEMILL_FAULTS=f"{point}=crash") == (137, "")
    code, out = await tidemill("restore", folder, **variables)
    assert (code, out.startswith("restored 2 artifacts")) == (0, True), out
    assert await runs(empty_database) == 2


async def test_pg_dump_ends_with_who_started_it(database: str, tmp_path: Path) -> None:
    """What it still wrote would be in the way of the next one."""
    program, started = tmp_path / "pg_dump", tmp_path / "started"
    program.write_text(f"#!/bin/sh\necho $$ > {started}\nexec sleep 600\n")
    program.chmod(0o755)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(back_up(database, (tmp_path / "s").as_uri(), tmp_path / "b", tmp_path))
        while not (started.exists() and started.read_text()):
            await asyncio.sleep(0.01)
        waiting.cancel()
    await all_gone([int(started.read_text())])


async def test_a_program_that_cannot_be_started_is_told(database: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"pg_dump cannot be started: .*: name the folder of Postgres' programs"):
        await back_up(database, (tmp_path / "s").as_uri(), tmp_path / "b", tmp_path)
    faults.arm("command.start=fail")
    try:
        with pytest.raises(ServiceError, match=r"pg_dump cannot be started: fault injected .*: try again"):
            await back_up(database, (tmp_path / "s").as_uri(), tmp_path / "b", packaged_programs())
    finally:
        faults.arm(os.environ.get("TIDEMILL_FAULTS", ""))
