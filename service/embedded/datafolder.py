"""The files of an embedded Postgres: who owns them, which version wrote them, where its socket is."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from service.embedded.child import Account
from service.errors import PostgresUnavailable
from triggers import faults

MAJOR_VERSION = "18"
SOCKET_NAME = ".s.PGSQL.5432"
_PROC = Path("/proc")
SOCKET_PATH_LIMIT_BYTES = 107 if sys.platform == "linux" else 103


class DataFolder:
    """`folder` holds the data, the socket, the log and the locks of one Postgres."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.fresh = folder / "data.new"
        self.log = folder / "postgres.log"
        self.lock = folder / "server.lock"

    @property
    def sockets(self) -> Path:
        """Where the socket is: in the folder, or under /tmp when its path is too long or has a comma.

        A DSN takes a comma for the end of one host and the start of the next.
        """
        inside = self.folder / "run"
        path = os.fsencode(inside / SOCKET_NAME)
        if len(path) <= SOCKET_PATH_LIMIT_BYTES and b"," not in path:
            return inside
        digest = hashlib.blake2b(os.fsencode(self.folder), digest_size=8).hexdigest()
        return Path("/tmp") / f"tidemill-{os.geteuid()}-{digest}"  # noqa: S108 - checked in `_make_private`

    def make(self, account: Account | None) -> None:
        """Make the folder, private to the daemon and `account`."""
        _make_private(self.folder, account, 0o710)

    def check(self, account: Account | None) -> None:
        """Check that the data, if there is any, fits this version and `account`; under root make it fit."""
        if self.data.exists():
            self._check_version()
            self._check_owner(account)

    def prepare_fresh(self, account: Account | None) -> None:
        """An empty folder for initdb. What an interrupted initdb left is removed."""
        if self.fresh.exists():
            shutil.rmtree(self.fresh)
        self.fresh.mkdir(mode=0o700)
        if account is not None:
            os.chown(self.fresh, account.uid, account.gid)

    def adopt_fresh(self) -> None:
        """Make what initdb wrote the data: it is complete from now on, or was never there."""
        self.fresh.rename(self.data)
        descriptor = os.open(self.folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def prepare_start(self, account: Account | None) -> None:
        """Make the socket's folder, and clear what a killed server left."""
        _make_private(self.sockets, account, 0o770)
        if self._served():
            return
        for leftover in (self.data / "postmaster.pid", *self.sockets.glob(f"{SOCKET_NAME}*")):
            leftover.unlink(missing_ok=True)

    def _served(self) -> bool:
        """Whether `postmaster.pid` names a server of this data.

        Postgres itself takes any process that got the same id since (after a reboot, in a container) for its server
        and refuses to start.
        """
        try:
            pid = int((self.data / "postmaster.pid").read_text().split()[0])
        except (FileNotFoundError, IndexError, ValueError):
            return False
        if (_PROC / "self/cwd").exists():
            with contextlib.suppress(OSError):
                return (_PROC / f"{pid}/cwd").samefile(self.data)
            return False
        ps = ["ps", "-p", str(pid), "-o", "comm="]
        faults.reach_in_thread("ps.start")
        return "postgres" in subprocess.run(ps, capture_output=True, text=True, timeout=10, check=False).stdout

    def _check_version(self) -> None:
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise PostgresUnavailable(
                f"the data in {self.data} was written by Postgres {version} and the embedded one is "
                f"{MAJOR_VERSION}: dump it with Postgres {version}, move it away and load the dump, "
                f"or set TIDEMILL_DATABASE_URL to a Postgres {version}"
            )

    def _check_owner(self, account: Account | None) -> None:
        owner = self.data.stat().st_uid
        wanted = os.geteuid() if account is None else account.uid
        if owner == wanted:
            return
        if account is None:
            raise PostgresUnavailable(_foreign(self.folder, owner))
        for parent, folders, files in os.walk(self.data):
            for name in (*folders, *files):
                os.chown(Path(parent, name), account.uid, account.gid, follow_symlinks=False)
        os.chown(self.data, account.uid, account.gid)


def _make_private(folder: Path, account: Account | None, mode: int) -> None:
    """Make `folder` for this user alone; under root with `mode` for root and the group that only our server has."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise PostgresUnavailable(f"{folder} is not a folder: move it away, or choose another TIDEMILL_HOME")
    if found.st_uid != os.geteuid():
        raise PostgresUnavailable(_foreign(folder, found.st_uid))
    if account is None:
        folder.chmod(0o700)
    else:
        os.chown(folder, 0, account.gid)
        folder.chmod(mode)


def _foreign(folder: Path, owner: int) -> str:
    return (
        f"{folder} belongs to user id {owner}: start tidemill as that user again, give the folder to this one "
        f"(chown -R {os.geteuid()} {folder}), or choose another TIDEMILL_HOME"
    )
