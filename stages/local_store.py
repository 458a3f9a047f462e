"""Artifacts in a folder of this machine, durable by fsync (obstore's own local store renames without one)."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from stages.artifacts import (
    ASIDE,
    SetAside,
    Stored,
    digest_of,
    is_digest,
    mark_of,
    marked_at,
    place_of,
    verified,
)
from stages.errors import ArtifactMissing, StoreUnavailable
from triggers import faults

CHUNK_BYTES = 1 << 20
# A file that is younger may not be held yet by whoever has just made it.
YOUNG_S = 60.0
# A disk that is full, read-only or not mounted is so until somebody sees to it: runs wait for that as for any outage.
PERMANENT = {errno.ENAMETOOLONG}


class LocalStore:
    """A folder. Bytes are written to a file beside it, synced, and renamed to their address.

    What a process that was killed had begun to write goes when the next one opens the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._incoming = root / ".incoming"
        self._aside = root / ASIDE
        # By the first digits of its digests: one of the 65,792 folders that there can be.
        self._durable: set[str] = set()
        with self._telling("write to"):
            self._incoming.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._incoming):
                pass
            _remove_left(self._incoming)

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    async def put(self, data: bytes) -> str:
        """See `ArtifactStore`."""

        def write() -> str:
            digest = digest_of(data)
            if not self._holds(digest):
                self._write(lambda file: (file.write(data), digest)[1])
            return digest

        with self._telling("write to"):
            await faults.reach("artifact.put")
            digest = await asyncio.to_thread(write)
            await faults.reach("artifact.kept")
        return digest

    async def put_file(self, path: Path) -> str:
        """See `ArtifactStore`."""

        def write(target: BinaryIO) -> str:
            with path.open("rb") as source:
                return _copy(source, target)

        with self._telling("write to"):
            await faults.reach("artifact.put")
            digest = await asyncio.to_thread(self._write, write)
            await faults.reach("artifact.kept")
        return digest

    async def get(self, digest: str) -> bytes:
        """See `ArtifactStore`."""

        def read() -> bytes:
            with self._open(digest) as file:
                data = file.read()
            verified(digest, digest_of(data), str(self.root))
            return data

        with self._telling("read"):
            return await asyncio.to_thread(read)

    async def fetch_file(self, digest: str, to: Path) -> None:
        """See `ArtifactStore`."""

        def fetch() -> None:
            with self._open(digest) as source, whole_file(to) as target:
                verified(digest, _copy(source, target), str(self.root))

        with self._telling("read"):
            await asyncio.to_thread(fetch)

    async def exists(self, digest: str) -> bool:
        """See `ArtifactStore`."""
        with self._telling("read"):
            return await asyncio.to_thread(self._brought_back, digest)

    async def delete(self, digest: str) -> None:
        """See `ArtifactStore`."""
        with self._telling("delete from"):
            await asyncio.to_thread((self.root / place_of(digest)).unlink, missing_ok=True)

    async def stored(self) -> AsyncIterator[Stored]:
        """See `ArtifactStore`."""
        for first in await self._entries(self.root):
            for second in await self._entries(first):
                for path, about in await asyncio.to_thread(_files, second):
                    if is_digest(path.name):
                        yield Stored(path.name, about.st_size, datetime.fromtimestamp(about.st_mtime, UTC))

    async def set_aside(self) -> AsyncIterator[SetAside]:
        """See `ArtifactStore`."""
        for first in await self._entries(self._aside):
            for second in await self._entries(first):
                for folder in (one for one in await self._entries(second) if is_digest(one.name)):
                    for path, about in await asyncio.to_thread(_files, folder):
                        yield SetAside(folder.name, path.name, about.st_size, marked_at(path.name))

    async def retire(self, digest: str, at: datetime) -> None:
        """See `ArtifactStore`."""

        def move() -> None:
            place = self._aside / place_of(digest) / mark_of(at)
            place.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # it is gone, or the emptied folder was tidied away: then next time
                (self.root / place_of(digest)).rename(place)

        with self._telling("delete from"):
            await asyncio.to_thread(move)

    async def bring_back(self, digest: str) -> bool:
        """See `ArtifactStore`."""
        return await self.exists(digest)

    async def drop(self, one: SetAside) -> None:
        """See `ArtifactStore`."""

        def remove() -> None:
            folder = self._aside / place_of(one.digest)
            (folder / one.mark).unlink(missing_ok=True)
            with suppress(OSError):  # not empty
                folder.rmdir()

        with self._telling("delete from"):
            await asyncio.to_thread(remove)

    async def _entries(self, folder: Path) -> list[Path]:
        with self._telling("read"):
            return await asyncio.to_thread(_folders, folder)

    def _open(self, digest: str) -> BinaryIO:
        path = self.root / place_of(digest)
        while True:
            try:
                return path.open("rb")
            except FileNotFoundError:
                if not self._brought_back(digest):
                    raise ArtifactMissing(
                        f"artifact {digest} is not in {self.root}: resume the run from the stage that made it"
                    ) from None

    def _brought_back(self, digest: str) -> bool:
        """Whether the artifact is in its place, now that it was looked for among what is set aside."""
        path, folder = self.root / place_of(digest), self._aside / place_of(digest)
        if not path.is_file():
            for name, _ in _files(folder):
                path.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # somebody else brings it back
                    name.rename(path)
                    os.utime(path)
                    break
        return path.is_file()

    def _holds(self, digest: str) -> bool:
        """Whether the right bytes are already there, durably. Bytes that rotted are written anew."""
        path = self.root / place_of(digest)
        try:
            with path.open("rb") as file:
                right = _copy(file, None) == digest
            os.utime(path)
        except FileNotFoundError:
            return False
        if right:
            self._make_durable(path.parent)
        return right

    def _write(self, write: Callable[[BinaryIO], str]) -> str:
        handle, name = tempfile.mkstemp(dir=self._incoming)
        written = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                # Where a file system has no locks, nobody gets one, and what a kill leaves stays.
                with suppress(OSError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                digest = write(file)
                file.flush()
                os.fsync(file.fileno())
                target = self.root / place_of(digest)
                target.parent.mkdir(parents=True, exist_ok=True)
                written.replace(target)
        except BaseException:
            written.unlink(missing_ok=True)
            raise
        self._make_durable(target.parent)
        return digest

    def _make_durable(self, folder: Path) -> None:
        """Sync the entries in `folder` and, once, those on the way to it: another process may have just made them."""
        _sync_folder(folder)
        for inner in (folder, folder.parent):
            digits = inner.relative_to(self.root).as_posix()
            if digits not in self._durable:
                _sync_folder(inner.parent)
                self._durable.add(digits)

    @contextmanager
    def _telling(self, verb: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(
                f"cannot {verb} the artifact folder {self.root} ({error}): check its disk and that "
                f"this user may read and write there, or set TIDEMILL_ARTIFACTS to another place",
                transient=error.errno not in PERMANENT,
            ) from error


def _remove_left(incoming: Path) -> None:
    """Remove what processes that were killed had begun to write: nobody holds it any more."""
    for path, about in _files(incoming):
        if time.time() - about.st_mtime > YOUNG_S:
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing; it is gone again if the block fails."""
    try:
        with path.open("wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, but for hidden ones; none where it is missing."""
    try:
        with os.scandir(folder) as found:
            return [Path(one.path) for one in found if one.is_dir() and not one.name.startswith(".")]
    except FileNotFoundError:
        return []


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """The files in a folder; none where it is missing."""
    found = []
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for one in entries:
            with suppress(FileNotFoundError):
                if one.is_file():
                    found.append((Path(one.path), one.stat()))
    return found


def _copy(source: BinaryIO, target: BinaryIO | None) -> str:
    digest = hashlib.blake2b(digest_size=32)
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
    return digest.hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
