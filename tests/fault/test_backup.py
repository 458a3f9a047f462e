"""A backup under load; then everything is gone, and restored on another server: each event is one run."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import httpx
import pytest

from service.embedded.postgres import EmbeddedPostgres
from stages.local_store import LocalStore
from tests.db.writing import rows, until
from tests.fault.daemons import ROOT, daemon_process
from tests.fault.storm import free_port
from tests.fault.test_triggers_killed import produce

PIPELINES = tuple(f"tests.fault.backed_up:{name}" for name in ("hooked", "recorded"))
HOOKS, RECORDS = 150, 150
LAST = 10


async def tidemill(*arguments: object, **variables: str) -> tuple[int, str]:
    """Run a command to its end: exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from service.cli.entry import main; main()", *map(str, arguments)),
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return process.returncode, out.decode()


async def post_all(port: int, first: int, last: int) -> None:
    """Post numbered hooks, each until it is acknowledged."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        for number in range(first, last):
            answer = await http.post("/hooks/hooked", json={"n": number}, headers={"Idempotency-Key": str(number)})
            assert answer.is_success, answer.text


async def all_ran(dsn: str, runs: int) -> None:
    await until(dsn, 60, "select count(*) = $1 from runs where state = 'succeeded'", runs)


@pytest.mark.timeout(300)
async def test_what_was_backed_up_under_load_goes_on_elsewhere(
    database: str, kafka: str, topic: str, tmp_path: Path, home: Path
) -> None:
    port, here, there = free_port(), tmp_path / "here", tmp_path / "there"
    variables = {
        "TIDEMILL_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TIDEMILL_KAFKA_SESSION_S": "2",
        "TIDEMILL_HTTP_PORT": str(port),
        "TIDEMILL_EXECUTOR_LEASE_S": "5",
        "TEST_TOPIC": topic,
    }
    roles, folder = "api,triggers,executor", tmp_path / "backup"
    old = {"TIDEMILL_DATABASE_URL": database, "TIDEMILL_ARTIFACTS": (here / "artifacts").as_uri()}
    async with daemon_process(database, here, *PIPELINES, roles=roles, **{**variables, **old}) as process:
        await post_all(port, 0, HOOKS // 3)
        code, out = await tidemill("backup", folder, **old)
        assert (code, out.startswith("backed up ")) == (0, True), out
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(post_all(port, HOOKS // 3, HOOKS - LAST))
            tasks.create_task(produce(kafka, topic, RECORDS))
            await until(database, 60, "select count(*) > $1 from runs", HOOKS // 2)
            # A second one into the same folder copies what is new.
            code, out = await tidemill("backup", folder, "--json", **old)
        assert code == 0, out
        assert 0 < json.loads(out)["copied"] < json.loads(out)["artifacts"]
        # What was acknowledged after the backup is gone with the rest.
        await post_all(port, HOOKS - LAST, HOOKS)
        await all_ran(database, HOOKS + RECORDS)
        process.kill()
    shutil.rmtree(here)

    async with EmbeddedPostgres(home) as server:
        new = {"TIDEMILL_DATABASE_URL": server, "TIDEMILL_ARTIFACTS": (there / "artifacts").as_uri()}
        code, out = await tidemill("restore", folder, **new)
        assert code == 0, out
        [kept] = await rows(server, "select count(*) as runs from runs")
        assert HOOKS // 3 <= kept["runs"] < HOOKS + RECORDS
        async with daemon_process(server, there, *PIPELINES, roles=roles, **{**variables, **new}):
            # Hooks that were taken after the backup have to be sent again; the records come again by themselves.
            await post_all(port, 0, HOOKS)
            await all_ran(server, HOOKS + RECORDS)
            checked = await tidemill("doctor", "--deep", "--artifacts", TIDEMILL_HTTP_PORT=str(port), **new)
        assert "that rows refer to are there, and whole" in checked[1]
        assert "problem" not in checked[1], checked[1]
        each = "select count(*) as runs, count(distinct event_key) as events from runs"
        assert [tuple(row) for row in await rows(server, each)] == [(HOOKS + RECORDS, HOOKS + RECORDS)]
        again = await tidemill("restore", folder, **new)
        assert (again[0], "restore into an empty one" in again[1]) == (2, True)

        [gone, *_] = [one async for one in LocalStore(there / "artifacts").stored()]
        await LocalStore(there / "artifacts").delete(gone.digest)
        code, out = await tidemill("doctor", "--artifacts", "--json", **new)
        assert (code, f"1 that rows refer to are missing or damaged: {gone.digest}" in out) == (1, True), out
        code, out = await tidemill("backup", tmp_path / "second", **new)
        assert (code, gone.digest in out) == (1, True), out


async def test_the_steps_hold_for_the_embedded_database_and_a_backup_is_its_owners_alone(
    database: str, tmp_path: Path, home: Path
) -> None:
    """As docs/backup.md has them, one after the other, without a daemon; whatever the umask."""
    set_there = {"TIDEMILL_DATABASE_URL": database, "TIDEMILL_ARTIFACTS": (tmp_path / "artifacts").as_uri()}
    await LocalStore(tmp_path / "artifacts").put(b"a payload")
    folder = tmp_path / "backup"
    folder.mkdir(mode=0o755)
    before = os.umask(0)
    try:
        code, out = await tidemill("backup", folder, **set_there)
    finally:
        os.umask(before)
    assert code == 0, out
    inside = list(folder.rglob("*"))
    assert {one.stat().st_mode & 0o777 for one in (folder, *inside) if one.is_dir()} == {0o700}
    assert {one.stat().st_mode & 0o777 for one in inside if one.is_file()} == {0o600}
    assert len([one for one in inside if one.is_file()]) == 3

    here = {"TIDEMILL_HOME": str(home), "TIDEMILL_HTTP_PORT": str(free_port())}
    assert (await tidemill("restore", folder, **here))[0] == 0
    code, out = await tidemill("doctor", "--deep", "--artifacts", **here)
    assert "that rows refer to are there, and whole" in out, out
    assert "an event" in out


async def test_there_may_be_nothing_to_back_up(empty_database: str, tmp_path: Path) -> None:
    code, out = await tidemill("backup", tmp_path / "backup", TIDEMILL_HOME=str(tmp_path / "empty"))
    assert (code, "no database is set, and none is embedded" in out, len(out.splitlines())) == (2, True, 1), out
    code, out = await tidemill("backup", tmp_path / "backup", TIDEMILL_DATABASE_URL=empty_database)
    assert (code, "nothing to back up" in out, len(out.splitlines())) == (2, True, 1), out
    assert not (tmp_path / "backup").exists()
