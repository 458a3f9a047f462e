"""A process that listens to the files below its first argument until it has told of as many as the second says.

It keeps positions in a file, so that its own memory is that of the listener, and prints what that was: the MiB its
resident memory grew at most, how many events it told of, and the subject of the last one.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from triggers.base import Arrival, Binding, Position, Receipt, Surroundings
from triggers.files import Files
from triggers.files.listener import FilesListener


class DiskInbox:
    """`triggers.base.Inbox` that counts events and keeps positions on disk."""

    def __init__(self, file: Path, wanted: int) -> None:
        self._kept = sqlite3.connect(file)
        self._kept.execute("create table if not exists positions (scope, key, value, primary key (scope, key))")
        self._wanted = wanted
        self.told = 0
        self.last: str | None = None
        self.done = asyncio.Event()

    async def accept(self, arrivals: Sequence[Arrival], positions: Sequence[Position] = ()) -> Sequence[Receipt]:
        rows = [(one.scope, one.key, one.value) for one in positions]
        with self._kept:
            self._kept.executemany("insert or replace into positions values (?, ?, ?)", rows)
        for arrival in arrivals:
            self.told += 1
            self.last = arrival.event.subject
        if self.told >= self._wanted:
            self.done.set()
        return []

    async def positions(self, scope: str) -> Mapping[str, str]:
        return dict(self._kept.execute("select key, value from positions where scope = ?", (scope,)))


class SystemClock:
    """The real clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def peak_mib() -> float:
    """The most that was resident of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


async def main(root: Path, wanted: int) -> None:
    """Listen, and print."""
    trigger = Files("landing/**/*.csv", complete="rename", poll=True, rescan_s=1.0)
    inbox = DiskInbox(root / "positions.sqlite", wanted)
    listener = FilesListener([Binding("p", trigger)], Surroundings(inbox, SystemClock(), root))
    before = peak_mib()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(listener.run())
        await inbox.done.wait()
        running.cancel()
    print(peak_mib() - before, inbox.told, inbox.last)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
