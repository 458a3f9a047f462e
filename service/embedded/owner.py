"""One daemon owns an embedded server's folder at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class OwnerLock:
    """An flock on `path`, let go by `release` or by the owner's death, however it dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        # A forked worker that outlives the daemon must not keep the lock.
        os.register_at_fork(after_in_child=self.release)

    def acquire(self) -> int | None:
        """Take the lock: None when it is ours now, else the process id of its owner (0 when that is unknown)."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).strip()
            os.close(descriptor)
            return int(owner) if owner.isdigit() else 0
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
        self._descriptor = descriptor
        return None

    def release(self) -> None:
        """Let go. Safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
