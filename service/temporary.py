"""Temporary files of a daemon, in a folder of its own: what a killed one has left goes when the next one starts."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "tidemill-own-"
# A folder that is younger may not be held yet by whoever has just made it.
YOUNG_S = 10.0


@contextmanager
def own_temporary_files() -> Iterator[Path]:
    """Until the end of the block, `tempfile` makes everything in a new folder, which then goes with all that is in it.

    Gives the folder for everybody, in which that of this process is.
    """
    shared = tempfile.gettempdir()
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as own, _held(Path(own)):
        tempfile.tempdir = own
        try:
            yield Path(shared)
        finally:
            tempfile.tempdir = shared


def remove_left(shared: Path) -> None:
    """Remove the folders whose owners are no more. Those of other users stay, as does what cannot be removed."""
    for folder in shared.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > YOUNG_S:
                with _held(folder):
                    shutil.rmtree(folder)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """While the block lasts, or this process. Raises `BlockingIOError` while somebody else holds the folder."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
