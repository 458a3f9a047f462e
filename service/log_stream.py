"""The run log as it grows, for any number of listeners: one reader a process, whose latest entries all of them share.

A listener is a place in the log. It takes what lies behind its place from memory; where that goes back further than
memory does, it reads the log itself up to there. One that falls behind memory after that is too slow, and is cut off:
it may come again with the place it has reached.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from service.db.reads import Reads
from service.db.rows import Row
from service.errors import DatabaseUnavailable, ServiceError
from service.news import News

PAGE = 100
HELD = 5_000
RETRY_S = 1.0
# While an older transaction is open what came after it may not be read; most are over in a moment.
HORIZON_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
# Between two looks, so that under load one look finds much: the longer, the more are to be told of it.
GATHER_S = 0.02
GATHER_LISTENER_S = 40e-6
# Before the first look: what follows in a moment is told at once to many, who would otherwise be told twice.
FIRST_LISTENER_S = 25e-6


class Place(NamedTuple):
    """Where an entry stands in the log: ordered as the log is."""

    xid: int
    seq: int
    entry: int

    def __str__(self) -> str:
        return f"{self.xid}.{self.seq}.{self.entry}"

    @classmethod
    def read(cls, text: str) -> Place | None:
        """What `str` wrote, or None."""
        parts = text.split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
            return None
        return cls(*map(int, parts))


@dataclass(frozen=True, slots=True)
class Told:
    """One entry of the log. `frame`: as a server-sent event, made once for all who listen."""

    place: Place
    at: datetime
    told: dict[str, Any]
    frame: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries that came together, and their frames as they are sent to whoever wants all of them. `changed`: something
    has besides that is in no log.
    """

    entries: Sequence[Told]
    frames: bytes
    changed: bool = False

    @classmethod
    def of(cls, entries: Sequence[Told]) -> Batch:
        """These entries."""
        return cls(entries, b"".join([one.frame for one in entries]))


NOTHING = Batch((), b"")
# Tells those who show what is in no log, such as how far a backfill has come, to look again.
CHANGED = b"event: changed\ndata: {}\n\n"


class TooSlow(ServiceError):
    """A listener that took longer than memory lasts."""


class LogStream:
    """`run` it in a task; it reads only while somebody follows."""

    def __init__(self, reads: Reads, news: News, *, held: int = HELD) -> None:
        self._reads = reads
        self._news = news
        self._grew = News()
        self._held: deque[Told] = deque(maxlen=held)
        self._begin = self._end = Place(0, 0, 0)
        self._latest: tuple[Place, Batch] = (self._end, NOTHING)
        self._silent = False
        # How often something changed that is in no log.
        self.changes = 0
        self._telling: asyncio.TimerHandle | None = None
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self.listeners = 0

    async def end(self) -> Place:
        """Where the log ends now: what is read from the database after this call knows all before it."""
        [row] = await self._reads.fetch("log_end")
        return Place(int(row["xid"]), 0, 0)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wanted.wait()
            try:
                self._begin = self._end = await self.end()
                self._latest = (self._end, NOTHING)
                self._held.clear()
                self._ready.set()
                while self.listeners:
                    await self._look()
            except DatabaseUnavailable:
                await asyncio.sleep(RETRY_S)
            finally:
                self._ready.clear()

    async def _look(self) -> None:
        seen, looks = self._news.count, 0
        rows = await self._page(self._end)
        while not rows and await self._more() and looks < len(HORIZON_S):
            await asyncio.sleep(HORIZON_S[looks])
            looks += 1
            rows = await self._page(self._end)
        if rows:
            self._take(rows)
            self._grew.hear("")
            await asyncio.sleep(GATHER_S + self.listeners * GATHER_LISTENER_S)
        else:
            if self._silent:
                self._grew.hear("")
            await self._news.changed(seen)
            self._silent = self._news.count == seen
            await asyncio.sleep(self.listeners * FIRST_LISTENER_S)

    def _take(self, rows: Sequence[Row]) -> None:
        found = list(_entries(rows))
        for entry in found:
            if len(self._held) == self._held.maxlen:
                self._begin = self._held[0].place
            self._held.append(entry)
        self._latest = (self._end, Batch.of(found))
        self._end = _past(rows[-1])

    async def _page(self, after: Place) -> list[Row]:
        return await self._reads.fetch("sink_page", str(after.xid), after.seq, PAGE)

    async def _more(self) -> bool:
        [row] = await self._reads.fetch("sink_more", str(self._end.xid), self._end.seq)
        return bool(row["more"])

    async def follow(self, after: Place | None = None, changes: int | None = None) -> AsyncGenerator[Batch, None]:
        """Every entry after a place (default: from now on), once and in order; now and then nothing, after a silence.

        `changes`: how many there were when what is shown was read; if there are more by now, that is told first. Raises
        `TooSlow`, and `DatabaseUnavailable` while it still reads what was before.
        """
        with self._listening():
            changes = self.changes if changes is None else changes
            await self._ready.wait()
            place = self._end if after is None else after
            while place < (begin := self._begin):
                rows = await self._page(place._replace(seq=place.seq - 1))
                found = [one for one in _entries(rows) if one.place > place]
                place = max(place, _past(rows[-1])) if rows else place
                yield Batch.of(found)
                if len(rows) < PAGE:
                    place = max(place, begin)
            while True:
                seen = self._grew.count
                if place < self._begin:
                    raise TooSlow("what was missed is no longer in memory: come again with the last place")
                batch = self._after(place)
                place = max(self._end, place)
                changed, changes = changes != self.changes, self.changes
                yield replace(batch, changed=True) if changed else batch
                await self._grew.grown(seen)

    def _after(self, place: Place) -> Batch:
        since, latest = self._latest
        if place == since:
            return latest
        found: list[Told] = []
        for one in reversed(self._held):
            if one.place <= place:
                break
            found.append(one)
        return Batch.of(found[::-1]) if found else NOTHING

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self.listeners += 1
        self._wanted.set()
        try:
            yield
        finally:
            self.listeners -= 1
            if not self.listeners:
                self._wanted.clear()

    def change(self) -> None:
        """Something has changed that the log does not tell: whoever is told nothing else now is told that."""
        self.changes += 1
        if self._telling is None:
            gather_s = GATHER_S + self.listeners * GATHER_LISTENER_S
            self._telling = asyncio.get_running_loop().call_later(gather_s, self._tell_changes)

    def _tell_changes(self) -> None:
        self._telling = None
        self._grew.hear("")

    def wake(self) -> None:
        """Let every listener look up: the daemon stops."""
        self._grew.hear("")


def _entries(rows: Sequence[Row]) -> Iterator[Told]:
    for row in rows:
        for index, told in enumerate(orjson.loads(row["entries"])):
            place = Place(int(row["xid"]), row["seq"], index)
            yield Told(place, row["at"], told, _frame(place, row["at"], told))


def _frame(place: Place, at: datetime, told: Mapping[str, Any]) -> bytes:
    return b"id: %b\ndata: %b\n\n" % (str(place).encode(), orjson.dumps({"at": at, **told}, default=str))


def _past(row: Row) -> Place:
    """The place after all entries of a row, and before those of the next."""
    return Place(int(row["xid"]), row["seq"], 2**31)
