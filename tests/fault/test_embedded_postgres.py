"""The embedded Postgres keeps what it acknowledged, belongs to one daemon, and never outlives it."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from service.checkup import ledger
from service.checkup.finding import Verdict
from service.db.migrations import migrate
from service.embedded import datafolder
from service.embedded.account import choose_account
from service.embedded.datafolder import MAJOR_VERSION
from service.embedded.postgres import EmbeddedPostgres, packaged_programs
from service.errors import PostgresUnavailable
from service.settings import Settings
from tests.conftest import BackgroundLoop
from tests.fault.processes import all_gone, descendants, kill_all, next_line, owner_of, running_module, server_gone
from triggers import faults

LONG_NAME = "a-long-name" * 10


@pytest.fixture(scope="module")
def prepared(session_loop: BackgroundLoop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose Postgres was made and stopped, to be copied."""
    home = tmp_path_factory.mktemp("prepared")
    server = EmbeddedPostgres(home)
    session_loop.run(server.start())
    session_loop.run(server.stop())
    yield home
    shutil.rmtree(home)


@pytest.fixture
def used_home(prepared: Path, home: Path) -> Path:
    """A home that has been used before."""
    shutil.copytree(prepared, home, dirs_exist_ok=True)
    return home


def moved(used_home: Path, folder: str) -> Path:
    """The used home in a folder of this name."""
    home = used_home / folder
    home.mkdir()
    return (used_home / "postgres").rename(home / "postgres").parent


async def fetch(dsn: str, query: str) -> list[object]:
    """The first column of what `query` returns."""
    connection = await asyncpg.connect(dsn)
    try:
        return [row[0] for row in await connection.fetch(query)]
    finally:
        await connection.close()


def outside_home() -> list[Path]:
    """What a server may leave elsewhere: a folder for its socket, and shared memory. Other tests use both."""
    return [*Path("/tmp").glob(f"tidemill-{os.geteuid()}-*"), *Path("/dev/shm").glob("PostgreSQL*")]


def postmaster_of(home: Path) -> int:
    """The process id of the running server."""
    return int((home / "postgres/data/postmaster.pid").read_text().split()[0])


def user_of(pid: int) -> int:
    """The effective user id of a process."""
    command = ["ps", "-p", str(pid), "-o", "uid="]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


async def test_what_was_committed_is_there_after_stop_and_start(home: Path) -> None:
    async with EmbeddedPostgres(home) as dsn:
        await fetch(dsn, "create table kept as select 42 as id")
    async with EmbeddedPostgres(home) as dsn:
        assert await fetch(dsn, "select id from kept") == [42]


async def test_stop_leaves_no_process_and_nothing_outside_home(used_home: Path) -> None:
    outside = set(outside_home())
    others = set(descendants(os.getpid()))
    server = EmbeddedPostgres(used_home)
    dsn = await server.start()
    started = set(descendants(os.getpid())) - others
    assert await fetch(dsn, "select count(*) from pg_class") != [0]
    await server.stop()
    await all_gone(started)
    assert set(outside_home()) <= outside


async def test_acknowledged_rows_outlive_a_kill_of_the_daemon_and_postgres_does_not(used_home: Path) -> None:
    async with owner_of("postgres", used_home) as daemon:
        await next_line(daemon)
        while (last := int(await next_line(daemon))) < 20:
            pass
        family = descendants(daemon.pid)
        daemon.kill()
        await server_gone(used_home / "postgres/server.lock")
        await all_gone(family)
    async with EmbeddedPostgres(used_home) as dsn:
        assert await fetch(dsn, f"select count(*) from kept where id <= {last}") == [last + 1]


async def test_acknowledged_rows_outlive_a_kill_of_every_process(used_home: Path) -> None:
    async with owner_of("postgres", used_home) as daemon:
        await next_line(daemon)
        while (last := int(await next_line(daemon))) < 20:
            pass
        kill_all([*descendants(daemon.pid), daemon.pid])
        await server_gone(used_home / "postgres/server.lock")
    async with EmbeddedPostgres(used_home) as dsn:
        assert await fetch(dsn, f"select count(*) from kept where id <= {last}") == [last + 1]


@pytest.mark.parametrize("folder", ["short", LONG_NAME])
async def test_a_daemon_started_while_the_old_server_still_stops_waits_for_it(used_home: Path, folder: str) -> None:
    home = moved(used_home, folder)
    async with owner_of("postgres", home) as daemon:
        await next_line(daemon)
        daemon.kill()
        await daemon.wait()
        async with EmbeddedPostgres(home) as dsn:
            assert await fetch(dsn, "select 1") == [1]


async def test_starting_twice_is_refused_and_the_first_start_stays_the_owner(used_home: Path) -> None:
    server = EmbeddedPostgres(used_home)
    dsn = await server.start()
    for _ in range(2):
        with pytest.raises(PostgresUnavailable, match="in use"):
            await server.start()
    assert await fetch(dsn, "select 1") == [1]
    await server.stop()


async def test_a_second_owner_is_refused_and_told_who_the_first_is(used_home: Path) -> None:
    async with EmbeddedPostgres(used_home) as dsn:
        with pytest.raises(PostgresUnavailable, match=f"in use by process {os.getpid()}.*TIDEMILL_HOME"):
            await EmbeddedPostgres(used_home).start()
        assert await fetch(dsn, "select 1") == [1]


async def test_a_server_that_dies_is_noticed(used_home: Path) -> None:
    server = EmbeddedPostgres(used_home)
    await server.start()
    watch = asyncio.ensure_future(server.watch())
    os.kill(postmaster_of(used_home), signal.SIGKILL)
    with pytest.raises(PostgresUnavailable, match="exit code 137"):
        await asyncio.wait_for(watch, timeout=20)
    await server.stop()


async def test_a_server_that_is_stopped_ends_the_watch_in_silence(used_home: Path) -> None:
    server = EmbeddedPostgres(used_home)
    await server.start()
    watch = asyncio.ensure_future(server.watch())
    await server.stop()
    await asyncio.wait_for(watch, timeout=5)


async def test_a_cancelled_start_leaves_no_process_and_no_lock(used_home: Path) -> None:
    server = EmbeddedPostgres(used_home)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await server.start()
    await server_gone(used_home / "postgres/server.lock")
    async with EmbeddedPostgres(used_home) as dsn:
        assert await fetch(dsn, "select 1") == [1]


async def test_an_interrupted_initdb_is_made_anew(home: Path) -> None:
    half_made = home / "postgres/data.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    async with EmbeddedPostgres(home) as dsn:
        assert await fetch(dsn, "select current_database()::text") == ["tidemill"]
    assert not half_made.exists()


# Of a new home: initdb, then the database, then the server that serves.
@pytest.mark.parametrize("cut", ["start=crash", "started=crash", "started=crash@2", "start=crash@3", "started=crash@3"])
async def test_a_daemon_that_dies_as_it_starts_it_leaves_nothing_half_made(home: Path, cut: str) -> None:
    async with running_module("tests.fault.server_owner", "postgres", home, TIDEMILL_FAULTS=f"server.{cut}") as daemon:
        assert await asyncio.wait_for(daemon.wait(), 60) == 137
    async with EmbeddedPostgres(home) as dsn:
        assert await fetch(dsn, "select current_database()::text") == ["tidemill"]
    assert not (home / "postgres/data.new").exists()


@pytest.mark.parametrize("point", ["server.start", "server.started"])
async def test_where_no_process_can_be_started_it_says_so_and_leaves_none(used_home: Path, point: str) -> None:
    faults.arm(f"{point}=fail@1")
    try:
        with pytest.raises(PostgresUnavailable, match=r"did not start: no process for it can be started: fault inj"):
            await EmbeddedPostgres(used_home).start()
    finally:
        faults.arm(os.environ.get("TIDEMILL_FAULTS", ""))
    await server_gone(used_home / "postgres/server.lock")
    async with EmbeddedPostgres(used_home) as dsn:
        assert await fetch(dsn, "select 1") == [1]


async def test_without_proc_it_is_asked_of_ps_whether_a_server_still_runs(
    used_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datafolder, "_PROC", used_home / "none")
    left, files = used_home / "postgres/data/postmaster.pid", datafolder.DataFolder(used_home / "postgres")
    async with EmbeddedPostgres(used_home):
        files.prepare_start(None)
        assert left.exists()
    left.write_text(f"{os.getpid()}\n")
    files.prepare_start(None)
    assert not left.exists()


async def test_a_home_too_long_for_a_socket_works_and_leaves_nothing_in_tmp(used_home: Path) -> None:
    server = EmbeddedPostgres(moved(used_home, LONG_NAME))
    dsn = await server.start()
    sockets = Path(dsn.partition("host=")[2])
    assert sockets.parent == Path("/tmp")
    assert stat.S_IMODE(sockets.stat().st_mode) & 0o007 == 0
    assert await fetch(dsn, "select 1") == [1]
    await server.stop()
    assert not sockets.exists()


async def test_a_home_with_odd_characters_works(used_home: Path) -> None:
    odd_home = used_home / 'it\'s, "a" hõme?&%20'
    odd_home.mkdir()
    (used_home / "postgres").rename(odd_home / "postgres")
    async with EmbeddedPostgres(odd_home) as dsn:
        assert await fetch(dsn, "select 1") == [1]


async def test_it_listens_on_a_private_socket_only_and_every_commit_is_on_disk(used_home: Path) -> None:
    async with EmbeddedPostgres(used_home) as dsn:
        sockets = Path(dsn.partition("host=")[2])
        assert stat.S_IMODE(sockets.stat().st_mode) & 0o007 == 0
        settings = "('listen_addresses', 'fsync', 'synchronous_commit', 'full_page_writes')"
        query = f"select setting from pg_settings where name in {settings} order by name"
        assert await fetch(dsn, query) == ["on", "on", "", "on"]
    hba = (used_home / "postgres/data/pg_hba.conf").read_text().splitlines()
    methods = {line.split()[-1] for line in hba if line.startswith("host")}
    assert methods == {"scram-sha-256"}


async def test_data_of_another_version_is_refused_by_name(used_home: Path) -> None:
    version = used_home / "postgres/data/PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(PostgresUnavailable, match=r"written by Postgres 15 and the embedded one is 18.*dump"):
        await EmbeddedPostgres(used_home).start()
    version.write_text(f"{MAJOR_VERSION}\n")
    async with EmbeddedPostgres(used_home) as dsn:
        assert await fetch(dsn, "select 1") == [1]


def test_the_expected_version_is_the_packaged_one() -> None:
    told = subprocess.run([packaged_programs() / "postgres", "-V"], capture_output=True, text=True, check=True).stdout
    assert told.split()[2].split(".")[0] == MAJOR_VERSION


async def test_damaged_data_is_told_with_postgres_own_words(used_home: Path) -> None:
    (used_home / "postgres/data/global/pg_control").unlink()
    with pytest.raises(PostgresUnavailable, match=r"could not find the database system.*postgres\.log"):
        await EmbeddedPostgres(used_home).start()


async def test_a_stale_pid_file_with_the_id_of_another_process_does_not_stop_it(used_home: Path) -> None:
    other = await asyncio.create_subprocess_exec("sleep", "60")
    (used_home / "postgres/data/postmaster.pid").write_text(f"{other.pid}\n{used_home}\n1\n5432\n")
    try:
        async with EmbeddedPostgres(used_home) as dsn:
            assert await fetch(dsn, "select 1") == [1]
    finally:
        other.kill()
        await other.wait()


async def test_a_closed_parent_stays_closed_and_postgres_is_not_root(used_home: Path) -> None:
    used_home.chmod(0o700)
    async with EmbeddedPostgres(used_home) as dsn:
        assert await fetch(dsn, "select 1") == [1]
        assert user_of(postmaster_of(used_home)) != 0
    assert stat.S_IMODE(used_home.stat().st_mode) == 0o700


async def test_under_open_parents_a_server_of_root_keeps_no_right_of_root(used_home: Path) -> None:
    used_home.chmod(0o755)
    account = choose_account([used_home])
    async with EmbeddedPostgres(used_home) as dsn:
        assert await fetch(dsn, "select 1") == [1]
        assert user_of(postmaster_of(used_home)) == (os.geteuid() if account is None else account.uid) != 0
    assert account is None or account.capability is None


async def test_data_that_a_user_made_serves_root_too(used_home: Path) -> None:
    if os.geteuid() == 0:
        for path in (used_home / "postgres/data").rglob("*"):
            os.chown(path, 1234, 1234)
        os.chown(used_home / "postgres/data", 1234, 1234)
    async with EmbeddedPostgres(used_home) as dsn:
        assert await fetch(dsn, "select 1") == [1]


async def test_a_link_in_the_place_of_the_folder_is_not_followed(home: Path) -> None:
    folder = home / "postgres"
    folder.symlink_to("/", target_is_directory=True)
    with pytest.raises(PostgresUnavailable, match=r"is not a folder.*TIDEMILL_HOME"):
        await EmbeddedPostgres(home).start()


async def test_the_doctor_reads_the_books_of_the_one_that_runs_here(used_home: Path) -> None:
    settings = Settings(home=used_home)
    [missing] = [one async for one in ledger.check(settings)]
    assert "none is embedded and running" in missing.says
    async with EmbeddedPostgres(used_home) as dsn:
        await migrate(dsn)
        found = [one async for one in ledger.check(settings)]
    assert {one.verdict for one in found} == {Verdict.OK}
    assert len(found) > 1
