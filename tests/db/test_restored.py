"""A dump brings the transactions' numbers of another server: sinks go on where they were, and hear what is new."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import asyncpg
import pytest

from service.backup import back_up, restore
from service.db.dumping import snapshot, without_password
from service.db.restored import settle
from service.db.sinks import announce_sinks, tailing
from service.db.writer import Writer
from service.embedded.postgres import packaged_programs
from service.errors import Conflict, Invalid, ServiceError
from stages.local_store import LocalStore
from stages.stores import open_store
from tests.db.writing import accept, rows, writing
from triggers.event import utc_now

FROM_ELSEWHERE = 10_000_000


async def read(dsn: str, sink: str, pages: int | None = None) -> list[int]:
    """Deliver for a sink: the runs it is told of."""
    told: list[int] = []
    async with tailing(dsn, sink) as tail:
        while pages != 0 and (page := await tail.page()) is not None:
            told += [entry.told["run"] for entry in page.entries if "run" in entry.told]
            await tail.move(page.last, delivered=len(page.entries), refused=0)
            pages = None if pages is None else pages - 1
    return told


async def move_numbers(dsn: str) -> None:
    """As if the log were of a server that has seen ten million transactions more. The later a row, the earlier its
    number in pairs: the order of numbers is not that of rows.
    """
    await rows(dsn, "update run_log set xid = (xid::text::bigint + $1 + (seq % 2) * 3)::text::xid8", FROM_ELSEWHERE)
    await rows(dsn, "update sinks set xid = (xid::text::bigint + $1)::text::xid8", FROM_ELSEWHERE)


async def put(writer: Writer, *numbers: int) -> None:
    for number in numbers:
        await writer.submit(accept(str(number), "a"))


async def test_sinks_go_on_with_a_log_of_another_server(database: str) -> None:
    await announce_sinks(database, ["one", "none"])
    async with writing(database) as writer:
        await put(writer, 1, 2, 3)
        assert await read(database, "one") == [1, 2, 3]
        await put(writer, 4, 5, 6, 7)
    assert not await settle(database)
    await move_numbers(database)
    await rows(database, "update sinks set (xid, seq) = (select max(l.xid), 0 from run_log l where l.seq <= 3)"
                         " where name = 'one'")  # fmt: skip
    order = "select convert_from(entries, 'utf8') as entries from run_log order by xid, seq"
    before = await rows(database, order)
    left = "select count(*) as rows from run_log l, sinks s where s.name = 'one' and (l.xid, l.seq) > (s.xid, s.seq)"
    [unread] = await rows(database, left)
    assert sorted(await asyncio.gather(settle(database), settle(database))) == [False, True]
    assert not await settle(database)
    assert await rows(database, order) == before
    assert await rows(database, left) == [unread]
    async with writing(database) as writer:
        await put(writer, 8)
    assert len(await read(database, "one")) == unread["rows"] + 1
    assert sorted(await read(database, "none")) == list(range(1, 9))


async def test_a_backup_holds_what_is_needed_of_what_is_set_aside_and_can_be_repeated(
    database: str, empty_database: str, tmp_path: Path
) -> None:
    store, target = LocalStore(tmp_path / "store"), (tmp_path / "target").as_uri()
    put_in, needed, unused = [await store.put(bytes([n]) * 9000) for n in range(3)]
    async with writing(database) as writer:
        await put(writer, 1)
    columns = "name, version, definition, spec, code, code_bytes"
    await rows(database, f"insert into pipelines ({columns}) values ('a', 'v1', '{{}}', 's', $1, 9)", needed)
    for digest in (needed, unused):
        await store.retire(digest, utc_now())
    folder, programs = tmp_path / "backup", packaged_programs()
    url = (tmp_path / "store").as_uri()
    assert (await back_up(database, url, folder, programs)).copied == 2
    assert (await back_up(database, url, folder, programs)).copied == 0
    made = await restore(folder, empty_database, target, programs)
    assert (made.artifacts, made.missing) == (2, ())
    for digest in (put_in, needed):
        assert len(await open_store(target).get(digest)) == 9000
    assert [one.digest async for one in store.set_aside()] == [unused]
    with pytest.raises(Conflict, match="restore into an empty one"):
        await restore(folder, empty_database, target, programs)


async def test_what_is_no_backup_is_refused(database: str, empty_database: str, tmp_path: Path) -> None:
    programs, url = packaged_programs(), (tmp_path / "store").as_uri()
    with pytest.raises(Invalid, match="holds no whole backup"):
        await restore(tmp_path / "none", empty_database, url, programs)
    (tmp_path / "else").mkdir()
    (tmp_path / "else/file").touch()
    with pytest.raises(Invalid, match="has other things in it"):
        await back_up(database, url, tmp_path / "else", programs)
    connection = await asyncpg.connect(database)
    await connection.fetchval("select pg_advisory_lock($1)", int.from_bytes(b"tide gc", "big"))
    with pytest.raises(Conflict, match="cleaning up"):
        await back_up(database, url, tmp_path / "backup", programs)
    await connection.close()
    damaged = tmp_path / "backup"
    await back_up(database, url, damaged, programs)
    (damaged / "database.dump").write_bytes(b"PGDMP")
    with pytest.raises(ServiceError, match="pg_restore failed"):
        await restore(damaged, empty_database, url, programs)


@pytest.mark.parametrize(
    ("dsn", "address", "secrets"),
    [
        ("postgresql://u:p%40ss@h:5/d?sslmode=require", "postgresql://u@h:5/d?sslmode=require", {"password": "p@ss"}),
        ("postgresql://u@/d?host=%2Frun&password=x", "postgresql://u@/d?host=%2Frun", {"password": "x"}),
        ("postgresql://u@h/d", "postgresql://u@h/d", {}),
        ("postgresql://u@h/d?sslpassword=k", "postgresql://u@h/d?", {"sslpassword": "k"}),
        ("postgresql://u:p@h/d?a=b&sslpassword=k", "postgresql://u@h/d?a=b&", {"password": "p", "sslpassword": "k"}),
    ],
)
def test_a_password_is_no_argument(dsn: str, address: str, secrets: dict[str, str]) -> None:
    assert without_password(dsn) == (address, secrets)


ASKED = """#!/bin/sh
printf '%s ' "$@" > arguments; cat "$PGSERVICEFILE" > service; exec PROGRAM "$@"
"""


async def test_the_password_of_a_key_is_no_argument_either(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes by a file, which is gone afterwards; pg_dump itself accepts what it is given."""
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "pg_dump"
    program.write_text(ASKED.replace("PROGRAM", str(packaged_programs() / "pg_dump")))
    program.chmod(0o700)
    async with snapshot(f"{database}&sslpassword=of-a-key") as taken:
        await taken.dump(tmp_path / "dump", tmp_path)
    assert (tmp_path / "dump").read_bytes().startswith(b"PGDMP")
    assert "of-a-key" not in (tmp_path / "arguments").read_text()
    assert (tmp_path / "service").read_text() == "[tidemill]\nsslpassword=of-a-key\n"
    assert not list(Path(tempfile.gettempdir()).glob("tidemill-service-*"))
