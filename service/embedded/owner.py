"""One daemon owns an embedded server's folder at a time."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from pathlib import Path

from service.errors import ServiceError

LAST_SERVER_TIMEOUT_S = 30.0


class Occupied(ServiceError):
    """Another process uses the folder."""


class Ownership:
    """The right to run a server in `folder`, let go by `release` or by the owner's death, however it dies.

    `owner.lock` is held by the daemon, `server.lock` by every process of its server (see `supervisor.py`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        # A forked worker that outlives the daemon must not keep the lock.
        os.register_at_fork(after_in_child=self.release)

    async def take(self) -> None:
        """Become the owner, and wait until the server of a killed owner has ended. Raises `Occupied`."""
        descriptor = _lock(self._folder / "owner.lock")
        if descriptor is None:
            owner = (self._folder / "owner.lock").read_text().strip()
            raise Occupied(f"{self._folder} is in use by process {owner}: stop that one")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
        self._descriptor = descriptor
        with contextlib.ExitStack() as undo:
            undo.callback(self.release)
            await _until_free(self._folder / "server.lock")
            undo.pop_all()

    def release(self) -> None:
        """Let go. Safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


async def _until_free(path: Path) -> None:
    """Return when nobody holds `path`: flock(2) cannot be awaited and a thread blocked in it not cancelled."""
    try:
        async with asyncio.timeout(LAST_SERVER_TIMEOUT_S):
            while (descriptor := _lock(path)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise Occupied(f"a server that an earlier daemon started still runs in {path.parent}: stop it") from None
    os.close(descriptor)


def _lock(path: Path) -> int | None:
    """A descriptor with the lock on `path`, or None when somebody else has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
