"""What the triggers for the same objects of one bucket have told of, and how one look through it is made."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

from triggers.base import Arrival, Binding, Position, Surroundings
from triggers.errors import InboxBusy
from triggers.event import Event
from triggers.files.event import encode_path
from triggers.match import offer
from triggers.objects import Objects
from triggers.objects.event import ObjectChange, event_of, landed
from triggers.objects.memory import ROW_MARKS, Marks, mark_of, packed, row_of, rows_of, unpacked
from triggers.objects.scan import FolderSum, Scan, looker_of, sums_of

T = TypeVar("T")

BATCH = 500
AT_ONCE = 16
CURSOR = "cursor"
# Memory of what is gone is given back when it is more than what is there, and then some.
SLACK = 1_000


@dataclass(frozen=True, slots=True)
class Told:
    """An event to be told, and the mark by which it is remembered that it was."""

    event: Event
    mark: int


class BucketFeed:
    """All bindings that list the same objects in the same way. Everything but the listing itself is the loop's."""

    def __init__(self, bindings: Sequence[Binding], surroundings: Surroundings) -> None:
        self.trigger: Objects = bindings[0].trigger
        trigger = self.trigger
        self.bindings = bindings
        self._inbox = surroundings.inbox
        self._clock = surroundings.clock
        self._looker = looker_of(trigger)
        self.scope = scope_of(trigger)
        self._remembers = not trigger.ordered or trigger.rescan_s is not None
        self._marks = Marks()
        self._rows: set[str] = set()
        self._cursor = self._stored_cursor = ""
        self._full_at_s: float | None = None
        self._since: dict[str, tuple[str, float]] = {}
        self.waiting = 0
        self.troubles: Mapping[str, str] = {}
        self.last_seen_at: datetime | None = None

    async def remember(self) -> None:
        """Take what was told before this start."""
        stored = dict(await self._patiently(partial(self._inbox.positions, self.scope)))
        self._cursor = self._stored_cursor = stored.pop(CURSOR, "")
        self._rows = set(stored)
        self._marks = await asyncio.to_thread(marks_in, stored)

    async def look(self) -> None:
        """Look through the bucket once, and tell of what is new. Raises `SourceUnavailable`."""
        scan = Scan()
        if self.trigger.pattern.folders:
            await self._look_at_folders(scan)
        else:
            await self._look_at_objects(scan)
        self.troubles = scan.troubles

    # Single objects

    async def _look_at_objects(self, scan: Scan) -> None:
        now_s = self._now_s()
        whole = self._is_whole_due(now_s)
        seen = array("Q")
        self.waiting = 0
        async for chunk in self._looker.listed(self.trigger.pattern.prefix, "" if whole else self._cursor):
            wanted = [one for one in chunk if self._looker.wanted(one.key)]
            await self._tell(await self._sift(wanted, scan, seen))
            # What waits for its marker must be met again: nothing is passed that was not told.
            if self.trigger.ordered and not self.waiting:
                self._cursor = max([self._cursor, *(one.key for one in wanted)], key=str.encode)
        await self._keep_cursor()
        if not self._remembers and not self.waiting:
            self._marks = Marks()
        if whole:
            self._full_at_s = now_s
            await self._forget_gone(seen)

    def _is_whole_due(self, now_s: float) -> bool:
        """Whether to list everything. With a cursor at start, a whole look is due only `rescan_s` later."""
        trigger = self.trigger
        if not trigger.ordered or not self._cursor:
            return True
        if self._full_at_s is None or now_s < self._full_at_s:
            self._full_at_s = now_s
        return trigger.rescan_s is not None and now_s - self._full_at_s >= trigger.rescan_s

    async def _sift(self, wanted: Sequence[ObjectChange], scan: Scan, seen: array[int]) -> list[Told]:
        """The new and complete ones. The marks of those that are not new go to `seen`."""
        new: list[tuple[ObjectChange, int]] = []
        for one in wanted:
            mark = mark_of(one.key, one.mark)
            if mark in self._marks:
                seen.append(mark)
            elif await self._looker.is_complete(one, scan):
                new.append((one, mark))
            else:
                self.waiting += 1
        seen.extend(mark for _, mark in new)
        return [told for part in _parts(new, AT_ONCE) for told in await self._exact(part)]

    async def _exact(self, part: Sequence[tuple[ObjectChange, int]]) -> list[Told]:
        async with asyncio.TaskGroup() as group:
            asked = [(group.create_task(self._looker.exact(one)), mark) for one, mark in part]
        found = [(task.result(), mark) for task, mark in asked]
        return [Told(event_of(one), mark) for one, mark in found if one is not None]

    # Whole folders

    async def _look_at_folders(self, scan: Scan) -> None:
        sums = await sums_of(self._looker)
        seen = array("Q")
        self.waiting = 0
        told: list[Told] = []
        for folder, total in sums.items():
            mark = mark_of(f"{folder}/", total.digest)
            if mark in self._marks:
                seen.append(mark)
            elif (found := await self._whole(folder, total, scan)) is not None:
                told.append(found)
                seen.append(found.mark)
            else:
                self.waiting += 1
        self._since = {folder: self._since[folder] for folder in sums if folder in self._since}
        await self._tell(told)
        await self._forget_gone(seen)

    async def _whole(self, folder: str, total: FolderSum, scan: Scan) -> Told | None:
        """The event of a folder, once it is complete."""
        if self.trigger.complete == "stable":
            if not total.files or not self._has_settled(folder, total.digest):
                return None
        elif not await self._looker.is_whole(folder, scan):
            return None
        else:
            total = await self._looker.total(folder)
        at = total.newest if total.files else self._clock.now()
        made = landed(self._looker.place, folder, total.digest, at=at, files=total.files, size_bytes=total.size_bytes)
        return Told(made, mark_of(f"{folder}/", total.digest))

    def _has_settled(self, folder: str, digest: str) -> bool:
        now_s = self._now_s()
        known, since_s = self._since.get(folder, ("", 0.0))
        if known != digest or now_s < since_s:
            since_s = now_s
            self._since[folder] = (digest, now_s)
        stable_s: float = self.trigger.stable_s
        return now_s - since_s >= stable_s

    # The inbox

    async def _tell(self, told: Sequence[Told]) -> None:
        for part in _parts(sorted(told, key=lambda one: one.event.time), BATCH):
            await self._accept(part, [packed(one.mark for one in part)] if self._remembers else [])

    async def _accept(self, told: Sequence[Told], rows: Sequence[str]) -> None:
        """Hand over events with the marks of them in one transaction."""
        arrivals = [Arrival(one.event, [offer(binding, one.event) for binding in self.bindings]) for one in told]
        positions = [Position(self.scope, row_of(row), row) for row in rows]
        await self._patiently(partial(self._inbox.accept, arrivals, positions))
        self._rows.update(position.key for position in positions)
        self._marks.add(one.mark for one in told)
        self.last_seen_at = self._clock.now()

    async def _keep_cursor(self) -> None:
        """Store how far this look came: all before it was told, and is durable."""
        if self._cursor != self._stored_cursor:
            position = Position(self.scope, CURSOR, self._cursor)
            await self._patiently(partial(self._inbox.accept, (), [position]))
            self._stored_cursor = self._cursor

    async def _forget_gone(self, seen: array[int]) -> None:
        """After a whole look: write down anew what is still there, in full rows, where most of what was is not."""
        if not self._remembers:
            return
        many_gone = len(self._marks) > 2 * len(seen) + SLACK
        many_rows = len(self._rows) > 2 * (len(seen) // ROW_MARKS) + SLACK
        if not (many_gone or many_rows):
            return
        rows = {row_of(text): text for text in await asyncio.to_thread(rows_of, sorted(seen))}
        old = self._rows - rows.keys()
        positions = [Position(self.scope, key, text) for key, text in rows.items()]
        positions += [Position(self.scope, key, "") for key in old]
        await self._patiently(partial(self._inbox.accept, (), positions))
        self._rows, self._marks = set(rows), Marks(seen)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What the inbox answers, once it is not busy. Objects can wait: they lie where they are."""
        while True:
            try:
                return await ask()
            except InboxBusy as busy:
                await self._clock.sleep(busy.retry_after_s)

    def _now_s(self) -> float:
        return self._clock.now().timestamp()


def scope_of(trigger: Objects) -> str:
    """The scope of what is remembered: which objects, where, and what makes them complete."""
    policy = trigger.policy
    settings = [trigger.complete if policy.sign is None else f"{trigger.complete}={policy.sign}"]
    settings += [trigger.endpoint] if trigger.endpoint else []
    settings += ["ordered"] if trigger.ordered else []
    return f"objects:{encode_path(trigger.url)} {' '.join(settings)}"


def marks_in(rows: Mapping[str, str]) -> Marks:
    """The marks that stored rows hold."""
    return Marks(mark for text in rows.values() for mark in unpacked(text))


def _parts(whole: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (whole[start : start + size] for start in range(0, len(whole), size))
