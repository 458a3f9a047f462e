"""Reads log files out of the artifact store, a few lines at a time."""

from __future__ import annotations

import asyncio
import gzip
import tempfile
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stages.artifacts import ArtifactStore

KEPT_OPEN = 4
MARKED_LINES = 256


@dataclass(slots=True)
class _Unpacked:
    """The lines of one file, on disk without a name; `marks` is where every 256th of them begins."""

    file: BinaryIO
    marks: list[int]

    def lines(self, start: int, limit: int) -> list[bytes]:
        mark = min(start // MARKED_LINES, len(self.marks) - 1)
        self.file.seek(self.marks[mark])
        for _ in range(start - mark * MARKED_LINES):
            self.file.readline()
        found = [self.file.readline() for _ in range(limit)]
        return [line for line in found if line]


class LogFiles:
    """The files that were read last stay unpacked: whoever pages through one fetches it once."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._unpacked: OrderedDict[str, _Unpacked] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    async def lines(self, digest: str, start: int, limit: int) -> list[bytes]:
        """Up to `limit` lines from number `start` on, from 0. Raises what `ArtifactStore` does."""
        async with self._one_at_a_time:
            if digest not in self._unpacked:
                self._unpacked[digest] = await self._fetched(digest)
                if len(self._unpacked) > KEPT_OPEN:
                    self._unpacked.popitem(last=False)[1].file.close()
            self._unpacked.move_to_end(digest)
            return await asyncio.to_thread(self._unpacked[digest].lines, start, limit)

    def close(self) -> None:
        """Let go of the files."""
        while self._unpacked:
            self._unpacked.popitem()[1].file.close()

    async def _fetched(self, digest: str) -> _Unpacked:
        with tempfile.TemporaryDirectory(prefix="tidemill-log-") as folder:
            packed = Path(folder) / "packed"
            await self._store.fetch_file(digest, packed)
            return await asyncio.to_thread(_unpacked, packed)


def _unpacked(packed: Path) -> _Unpacked:
    """Whatever is in the file: one that is broken ends where it breaks."""
    file: BinaryIO = tempfile.TemporaryFile(prefix="tidemill-log-")  # noqa: SIM115  # closed with the last page
    marks, at = [0], 0
    with gzip.open(packed, "rb") as source:
        try:
            for number, line in enumerate(source, 1):
                file.write(line)
                at += len(line)
                if number % MARKED_LINES == 0:
                    marks.append(at)
        except (OSError, EOFError, zlib.error):
            pass
    return _Unpacked(file, marks)
