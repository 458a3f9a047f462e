"""Reading what was accepted in a time, page by page and oldest first, at the cost of what lies in that time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from service.db.parts import Parts
from service.db.reads import Reads
from service.db.rows import Row
from service.shapes.answers import InboxEvent, InboxPage

# Transactions take their time when they begin and their numbers later: no accepting one lasts longer.
SLACK = timedelta(seconds=60)
PAGE = 1000


class InboxPages:
    """The recorded events of a time. Every call may raise `DatabaseUnavailable`."""

    def __init__(self, reads: Reads, read: Callable[[bytes], dict[str, Any]]) -> None:
        """`read` makes of a stored event what is wanted of it: one of `service.db.envelopes`."""
        self._reads = reads
        self._read = read

    async def page(
        self, since: datetime, until: datetime, *, source: str | None = None, after: int | None = None, limit: int
    ) -> InboxPage:
        """Events that were accepted from `since` on and before `until`, those after the place `after`.

        `next` tells where to look on, also where fewer were found in what was looked through.
        """
        place = await self._place(since - SLACK) if after is None else after + 1
        end = await self._place(until + SLACK)
        found: list[Row] = []
        parts = Parts()
        while len(found) < limit and place < end:
            stop = min(place + parts.size, end)
            found += await self._reads.fetch("inbox_page", place, stop, since, until, source, limit - len(found))
            if not parts.go_on() and len(found) < limit and stop < end:
                return self._page(found, stop - 1)
            place = stop
        return self._page(found, found[-1]["seq"] if len(found) == limit else None)

    def _page(self, found: Sequence[Row], following: int | None) -> InboxPage:
        return {"events": [self._event(row) for row in found], "next": following}

    async def _place(self, instant: datetime) -> int:
        [row] = await self._reads.fetch("seq_at", instant)
        place: int = row["seq"]
        return place

    async def each(self, since: datetime, until: datetime, *, source: str | None = None) -> AsyncIterator[InboxEvent]:
        """All of them, a page at a time."""
        after: int | None = None
        while True:
            page = await self.page(since, until, source=source, after=after, limit=PAGE)
            for one in page["events"]:
                yield one
            after = page["next"]
            if after is None:
                return

    def _event(self, row: Row) -> InboxEvent:
        outcomes: list[Any] = orjson.loads(row["outcomes"])
        return {
            "seq": row["seq"],
            "key": str(row["key"]),
            "accepted_at": row["accepted_at"],
            "cloudevent": self._read(row["envelope"]),
            "outcomes": outcomes,
        }
