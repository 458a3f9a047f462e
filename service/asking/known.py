"""What the inbox knows, for comparing sources with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import datetime
from typing import Any

import orjson

from service.db.envelopes import heard_event
from service.db.inbox_pages import InboxPages
from service.db.reads import Reads
from triggers.base import Binding
from triggers.cloudevents import restore
from triggers.event import HOOK, Event, EventKey

_CHUNK = 5_000
# Events that are read whole, at once.
_WHOLE = 20


class KnownEvents:
    """Implements `triggers.reconcile.reconciled.Known` over Postgres. Every call may raise `DatabaseUnavailable`."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def keys(self, keys: Sequence[EventKey]) -> Set[EventKey]:
        """See `Known`."""
        found: set[EventKey] = set()
        for start in range(0, len(keys), _CHUNK):
            rows = await self._reads.fetch("known_events", keys[start : start + _CHUNK])
            found |= {EventKey(row["key"]) for row in rows}
        return found

    async def delivered(self, hook: str, ids: Sequence[str]) -> Set[str]:
        """Those of `ids` that came by this hook, as events whose source is what they are about."""
        found: set[str] = set()
        for start in range(0, len(ids), _WHOLE):
            rows = await self._reads.fetch("events_of_ids", ids[start : start + _WHOLE])
            found |= {row["id"] for row in rows if heard_event(row["envelope"]).get(HOOK) == hook}
        return found

    async def reasons(self, keys: Sequence[EventKey], pipeline: str) -> Mapping[EventKey, str]:
        """See `Known`."""
        found: dict[EventKey, str] = {}
        for start in range(0, len(keys), _CHUNK):
            rows = await self._reads.fetch("outcomes_of", keys[start : start + _CHUNK])
            found |= {row["event_key"]: row["reason"] for row in rows if row["pipeline"] == pipeline and row["reason"]}
        return found

    async def began(self, binding: Binding) -> datetime | None:
        """See `Known`."""
        for row in await self._reads.fetch("began_at", binding.pipeline):
            if binding.trigger.name in _trigger_names(orjson.loads(row["definition"])):
                at: datetime = row["first_seen_at"]
                return at
        return None

    async def events(self, source: str, after: datetime, until: datetime) -> Sequence[Event]:
        """See `Known`."""
        pages = InboxPages(self._reads, heard_event)
        return [restore(one["cloudevent"]) async for one in pages.each(after, until, source=source)]


async def removed_until(reads: Reads) -> datetime | None:
    """When the newest event was accepted that retention has removed. Raises `DatabaseUnavailable`."""
    row = await reads.row("removed_until")
    return None if row is None else row["until"]


def _trigger_names(definition: Mapping[str, Any]) -> set[str]:
    return {one["name"] for one in definition.get("triggers", ())}
