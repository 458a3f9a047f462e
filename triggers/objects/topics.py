"""Listens to topics of object stores' notifications: each object that a record tells of is one event."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from triggers.base import Arrival, Binding, Fate, ListenerState, Offer, Surroundings, TriggerStatus
from triggers.event import Event
from triggers.kafka.arrivals import bites
from triggers.kafka.client import access_of
from triggers.kafka.group import Fetched, GroupReader, Membership
from triggers.kafka.records import check_readable, source_of, time_of
from triggers.kafka.records import event_of as record_event
from triggers.kafka.session import keep_reading
from triggers.match import offer
from triggers.objects.event import event_of, unreadable
from triggers.objects.notices import read
from triggers.oddity import UNREADABLE, why_unreadable
from triggers.payload import parse_json

_WAIT_S = 0.5


class ObjectTopicsListener:
    """One consumer for all `ObjectTopic` triggers. The next offset of a partition moves with the events before it."""

    def __init__(self, bindings: Sequence[Binding], surroundings: Surroundings) -> None:
        self._access = access_of(surroundings, bindings)
        self._surroundings = surroundings
        self._by_topic: dict[str, list[Binding]] = {}
        self._reader: GroupReader | None = None
        for binding in bindings:
            self._by_topic.setdefault(binding.trigger.topic, []).append(binding)
        self._statuses = {one.name: TriggerStatus(one.name, one.trigger.kind) for one in bindings}

    async def run(self) -> None:
        """Listen until cancelled."""
        early = {one.trigger.topic for group in self._by_topic.values() for one in group if _from_start(one)}
        member = Membership(
            access=self._access,
            group=f"{self._access.group_prefix}.objects",
            starts={topic: "earliest" if topic in early else "latest" for topic in self._by_topic},
            inbox=self._surroundings.inbox,
            clock=self._surroundings.clock,
            tell=self._tell,
        )
        await keep_reading(member, self._serve)

    def statuses(self) -> Sequence[TriggerStatus]:
        """One for each binding. Lag is that of the partitions this process reads."""
        for topic, bindings in self._by_topic.items():
            for binding in bindings:
                self._statuses[binding.name].lag_records = self._reader.lag(topic) if self._reader else None
        return list(self._statuses.values())

    async def _serve(self, reader: GroupReader) -> None:
        self._reader = reader
        try:
            while True:
                fetched = await reader.poll(_WAIT_S)
                async with asyncio.TaskGroup() as group:
                    for one in fetched:
                        group.create_task(self._accept(reader, one))
        finally:
            self._reader = None

    async def _accept(self, reader: GroupReader, fetched: Fetched) -> None:
        topic = fetched.cursor.partition.topic
        source = source_of(reader.cluster, topic)
        for bite in bites(fetched.records):
            now = self._surroundings.clock.now()
            arrivals = [one for record in bite for one in arrivals_of(record, source, now, self._by_topic[topic])]
            if not await reader.accept(fetched.cursor, arrivals, bite[-1].offset + 1):
                return
            for binding in self._by_topic[topic]:
                self._statuses[binding.name].last_seen_at = now

    def _tell(self, state: ListenerState, note: str, topics: Collection[str]) -> None:
        for topic in topics:
            for binding in self._by_topic[topic]:
                status = self._statuses[binding.name]
                status.state, status.note = state, note


def arrivals_of(record: Any, source: str, now: datetime, bindings: Sequence[Binding]) -> list[Arrival]:
    """What a record tells of, each for every binding. One that cannot be read is dead, with its bytes."""
    at = time_of(record.timestamp, now)
    try:
        events = _told(record, source, at)
    except UNREADABLE as error:
        event, _ = record_event(record, source, now)
        why = why_unreadable(error)
        return [Arrival(event, [Offer(one.pipeline, one.trigger.name, Fate.DEAD, why) for one in bindings])]
    # MinIO and others tell of one object more than once in a record now and then.
    return [
        Arrival(event, [offer(one, event) for one in bindings]) for event in {one.key: one for one in events}.values()
    ]


def _told(record: Any, source: str, at: datetime) -> list[Event]:
    """The events that a record tells of. Raises `InvalidEvent`."""
    check_readable(record)
    headers = {
        str(name).lower().replace("ce_", "ce-"): value.decode("utf-8", "replace")
        for name, value in record.headers
        if value is not None
    }
    notice = read(parse_json(record.value or b"", "the record"), headers, at)
    return [*map(event_of, notice.objects), *(unreadable(one, why, source, at) for one, why in notice.unread)]


def _from_start(binding: Binding) -> bool:
    start: str = binding.trigger.start
    return start == "earliest"
