"""What attempts log beyond what is stored line by line: temporary files of bounded size, stored whole at their ends.

The daemon's spool is a folder of its own below its home, held by a lock: one that nobody holds is of a dead daemon.
"""

from __future__ import annotations

import fcntl
import gzip
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import orjson

from service.db.stage_logs import Place

logger = logging.getLogger("tidemill.logs")

FOLDER = "log-spool"
LOCK = "lock"
LINES = ".jsonl"
# The cursor of the API has room for no more lines in a file.
MOST_LINES = (1 << 20) - 1


@dataclass(slots=True)
class Spool:
    """The file of one attempt: its place in the first line, then the lines. Not safe for several threads at once."""

    path: Path
    place: Place
    most_bytes: int
    lines: int = 0
    size_bytes: int = 0
    _file: BinaryIO | None = field(default=None, repr=False)

    def add(self, line: bytes) -> bool:
        """Write a line of JSON. False, now and ever after, where there is no more room for it."""
        if self.size_bytes + len(line) > self.most_bytes or self.lines >= MOST_LINES:
            self.most_bytes = 0
            return False
        try:
            if self._file is None:
                self._file = self.path.open("xb")
                self._file.write(orjson.dumps(self.place) + b"\n")
            self._file.write(line + b"\n")
        except OSError as error:
            logger.warning("what run %s logs in %s cannot be spooled further: %s", *self.place[:2], error)
            self.most_bytes = 0
            return False
        self.lines += 1
        self.size_bytes += len(line) + 1
        return True

    def close(self) -> None:
        """Write what is buffered. Lines that cannot be written are found missing when the file is packed."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                logger.warning("what run %s logged in %s is spooled in part only: %s", *self.place[:2], error)
            self._file = None


@dataclass(frozen=True, slots=True)
class Packed:
    """A spool as it is stored: gzip'ed JSON lines, without the first line of the spool."""

    path: Path
    place: Place
    lines: int
    size_bytes: int


def pack(path: Path) -> Packed | None:
    """Compress a spool beside itself; None where it holds no whole line. What a crash cut off is left out."""
    packed = path.with_suffix(".gz")
    lines = size_bytes = 0
    with path.open("rb") as source, packed.open("wb") as target:
        place = _place(source.readline())
        with gzip.GzipFile("", "wb", compresslevel=4, fileobj=target, mtime=0) as out:
            for line in source:
                if line.endswith(b"\n"):
                    out.write(line)
                    lines += 1
                    size_bytes += len(line)
    return Packed(packed, place, lines, size_bytes) if place is not None and lines else None


def forget(path: Path) -> None:
    """Remove a spool and what was made of it."""
    for one in (path, path.with_suffix(".gz")):
        one.unlink(missing_ok=True)


def _place(head: bytes) -> Place | None:
    if not head.endswith(b"\n"):
        return None
    run_id, stage, item, attempt = orjson.loads(head)
    return (run_id, stage, item, attempt)


class SpoolFolder:
    """The spools of this process, made when the first one is."""

    def __init__(self, home: Path, most_bytes: int) -> None:
        self._root = home / FOLDER
        self._folder: Path | None = None
        self._lock = -1
        self._count = 0
        self._guard = threading.Lock()
        self.most_bytes = most_bytes

    def new(self, place: Place) -> Spool | None:
        """A spool for an attempt; None where there is no room for any."""
        if not self.most_bytes:
            return None
        with self._guard:
            try:
                folder = self._folder or self._make()
            except OSError as error:
                logger.warning("no spool for what stages log: %s", error)
                self.most_bytes = 0
                return None
            self._count += 1
            return Spool(folder / f"{self._count}{LINES}", place, self.most_bytes)

    def leftovers(self) -> Iterator[Path]:
        """The spools of daemons that are dead, each daemon's folder locked while they are looked at, and then removed.

        Whoever takes one removes it; a folder in which one is left stays.
        """
        for folder in sorted(self._root.glob("[!.]*")) if self._root.is_dir() else ():
            lock = _locked(folder / LOCK) if folder != self._folder else None
            if lock is None:
                continue
            try:
                yield from sorted(folder.glob(f"*{LINES}"))
                if not any(folder.glob(f"*{LINES}")):
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)

    def close(self) -> None:
        """Let go of the folder. What is still in it is for another daemon."""
        if self._folder is not None:
            if not any(self._folder.glob(f"*{LINES}")):
                shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock)
            self._folder = None

    def _make(self) -> Path:
        folder = self._root / uuid4().hex
        # Locked before it has its name: it would look like a dead daemon's.
        unnamed = self._root / f".{folder.name}"
        unnamed.mkdir(parents=True, mode=0o700)
        lock = _locked(unnamed / LOCK)
        if lock is None:
            raise OSError(f"{unnamed / LOCK} is locked by another process")
        unnamed.rename(folder)
        self._lock, self._folder = lock, folder
        return folder


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock, or None where a living process does."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor
