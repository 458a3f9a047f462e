"""What daemons of the matrix stand on, shared over its cells: Postgres on a small disk, a broker, an artifact store."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from service.db.migrations import migrate
from service.embedded.postgres import EmbeddedPostgres
from tests.broker.seam import RestartableBroker

TEMPLATE = "migrated"
SCHEMA = 'syntax = "proto3"; message Flight { string carrier = 1; }'
# Room for a server and its databases, and no more than that: it is filled while the disk is to be full.
DISK_MIB = 400
CUT = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname = $1"
MAY_MOUNT = os.geteuid() == 0 and Path("/proc/filesystems").exists()
WHY_NO_DISK = "only root can mount a small disk"


def _run(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


@contextmanager
def small_disk(folder: Path, mib: int = DISK_MIB) -> Iterator[Path]:
    """A folder on a disk of its own, of so many MiB; where nothing may be mounted, a folder."""
    folder.mkdir(exist_ok=True)
    if not MAY_MOUNT:
        yield folder
        return
    _run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", folder)
    try:
        yield folder
    finally:
        _run("umount", "-l", folder)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Nothing more fits on the disk of a folder."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        step = 1 << 20
        while step >= 512:
            try:
                file.write(b"x" * step)
            except OSError:
                step //= 2
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nothing can be written to a folder; root needs a mount for that."""
    folder.mkdir(exist_ok=True)
    if not MAY_MOUNT:
        folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for each in folders:
            each.chmod(0o555)
        try:
            yield
        finally:
            for each in folders:
                each.chmod(0o755)
        return
    _run("mount", "--bind", folder, folder)
    try:
        _run("mount", "-o", "remount,ro,bind", folder)
        yield
    finally:
        _run("umount", folder)


@dataclass
class Ground:
    """One Postgres and one broker; cells take turns on them."""

    home: Path
    dsn: str
    postgres: EmbeddedPostgres
    broker: RestartableBroker
    registry: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @asynccontextmanager
    async def database(self, *, empty: bool = False) -> AsyncIterator[str]:
        """The DSN of a database of a cell's own."""
        name = f"cell_{next(self.numbers)}"
        template = "template0" if empty else TEMPLATE
        await self._do(f"create database {name} template {template} strategy wal_log")
        try:
            yield self.dsn.replace("/tidemill?", f"/{name}?", 1)
        finally:
            await self._do(f"drop database {name} with (force)")

    async def cut(self, dsn: str) -> None:
        """End every connection to a database."""
        name = dsn.partition("?")[0].rpartition("/")[2]
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(CUT, name)
        finally:
            await connection.close()

    async def restart(self) -> None:
        """`pg_ctl -m immediate`: nothing is written on the way down, and what was is recovered on the way up."""
        pid = int((self.home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
        await self.start_again()

    async def start_again(self) -> None:
        """Postgres, which may have ended for want of room."""
        await self.postgres.stop()
        self.postgres = EmbeddedPostgres(self.home)
        await self.postgres.start()

    async def _do(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn, timeout=20)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


async def _tell_schema(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer as a schema registry whose every schema is this one."""
    await reader.readuntil(b"\r\n\r\n")
    answer = json.dumps({"schemaType": "PROTOBUF", "schema": SCHEMA}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))
    writer.close()
    await writer.wait_closed()


@asynccontextmanager
async def ground(folder: Path, disk_mib: int = DISK_MIB) -> AsyncIterator[Ground]:
    """For as long as the block lasts, in an empty folder."""
    with small_disk(folder / "disk", disk_mib) as home:
        postgres, broker = EmbeddedPostgres(home), RestartableBroker(folder)
        dsn = await postgres.start()
        await broker.start()
        registry = await asyncio.start_server(_tell_schema, "127.0.0.1", 0)
        port = registry.sockets[0].getsockname()[1]
        one = Ground(home, dsn, postgres, broker, f"http://127.0.0.1:{port}")
        try:
            await one._do(f"create database {TEMPLATE}")
            await migrate(dsn.replace("/tidemill?", f"/{TEMPLATE}?", 1))
            yield one
        finally:
            registry.close()
            await broker.stop()
            await one.postgres.stop()
            await asyncio.sleep(0)
