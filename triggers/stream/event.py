"""Which events a stream's windows and records are. Pure: their identity is their place in the topic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from triggers.attributes import timestamp
from triggers.errors import InvalidEvent
from triggers.event import Event
from triggers.kafka.records import ReadRecord, event_of, source_of
from triggers.stream import StreamFeatures
from triggers.stream.aggregates import Unusable
from triggers.stream.windows import Closed, Reading, Shape
from triggers.where import ABSENT, select

FEATURES_TYPE = "dev.tidemill.stream.features"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OLDEST_MS = -70 * 366 * 86_400_000
# One clock that runs wild would close every window of its partition for all the others.
_MOST_AHEAD_MS = 3_600_000
_LONGEST_KEY_BYTES = 1024


class Unreadable(ValueError):
    """A record that nothing can be computed of."""


def utc(time_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 text."""
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class RecordEyes:
    """Sees in a record what its window is to hold."""

    trigger: StreamFeatures
    source: str
    now: Callable[[], datetime]

    def read(self, record: ReadRecord) -> Reading:
        """Raises `Unreadable`, saying why."""
        now = self.now()
        event, dead = event_of(record, self.source, now)
        if dead:
            raise Unreadable(dead)
        numbers = [_number(name, one, event) for name, one in self.trigger.aggregates.items()]
        return Reading(record.offset, self._time_ms(record, event, now), self._key(event), numbers)

    def _key(self, event: Event) -> bytes:
        value = _at(self.trigger.key, event)
        if isinstance(value, (dict, list)):
            raise Unreadable(f"{self.trigger.key} is {'a list' if isinstance(value, list) else 'an object'}: no key")
        key = orjson.dumps(value)
        if len(key) > _LONGEST_KEY_BYTES:
            raise Unreadable(f"{self.trigger.key} is longer than {_LONGEST_KEY_BYTES} bytes: no key")
        return key

    def _time_ms(self, record: ReadRecord, event: Event, now: datetime) -> int:
        time_ms = _as_ms(self.trigger.time, _at(self.trigger.time, event)) if self.trigger.time else record.timestamp
        if self.trigger.time == "" and time_ms < 0:
            raise Unreadable("Kafka knows no time of it: set time to a path into it")
        if time_ms < _OLDEST_MS:
            raise Unreadable("its time is before 1900")
        if time_ms > now.timestamp() * 1000 + _MOST_AHEAD_MS:
            raise Unreadable("its time is more than an hour ahead of the clock here")
        return time_ms


def _at(path: str, event: Event) -> Any:
    value = select(path, event)
    return None if value is ABSENT else value


def _number(name: str, aggregate: Any, event: Event) -> float | None:
    try:
        number: float | None = aggregate.number(_at(aggregate.path, event) if aggregate.path else event)
    except Unusable as error:
        raise Unreadable(f"{name}: {aggregate.path}: {error}") from None
    return number


def _as_ms(path: str, value: Any) -> int:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12:
        return round(value * 1000)
    try:
        return (timestamp(value) - _EPOCH) // timedelta(milliseconds=1)
    except InvalidEvent:
        raise Unreadable(f"{path} is {value!r:.80}: neither RFC 3339 text nor seconds since 1970") from None


@dataclass(frozen=True, slots=True)
class WindowEvents:
    """Makes the events of one partition of a stream. `group` keeps those of several streams of a topic apart, `life`
    (how often the topic was made anew) those of offsets that began again.
    """

    group: str
    cluster: str
    topic: str
    partition: int
    shape: Shape
    max_rows: int
    life: int = 0

    def of_window(self, closed: Closed) -> Iterator[Event]:
        """The events of a closed window, of up to `max_rows` rows each.

        Its id holds the last offset in it. What that says is in the window is in it, however often it was folded.
        """
        rows = [{"key": orjson.loads(key), **self.shape.values(row)} for key, row in closed.rows.items()]
        held = closed.rows.values()
        offsets = {
            "first": min(row.first for row in held),
            "last": max(row.last for row in held),
            "count": sum(row.count for row in held),
        }
        start, end = utc(closed.start_ms), utc(closed.start_ms + self.shape.window_ms)
        parts = range(0, len(rows), self.max_rows)
        for part, first in enumerate(parts, 1):
            yield Event(
                source=source_of(self.cluster, self.topic),
                id=f"{self.group}:{self.partition}/{start}+{self.shape.window_ms}/{offsets['last']}.{part}{self._again}",
                type=FEATURES_TYPE,
                time=timestamp(end),
                subject=f"{self.topic}/{self.partition}",
                data={
                    "cluster": self.cluster,
                    "topic": self.topic,
                    "partition": self.partition,
                    "window_start": start,
                    "window_end": end,
                    "offsets": offsets,
                    "part": part,
                    "parts": len(parts),
                    "rows": rows[first : first + self.max_rows],
                },
                datacontenttype="application/json",
            )

    def of_record(self, record: ReadRecord, now: datetime) -> Event:
        """The event of a record that is in no window, with its raw value. Nobody else has an event with this id."""
        event, _ = event_of(record, source_of(self.cluster, self.topic), now)
        return replace(
            event,
            source=source_of(self.cluster, self.topic),
            id=f"{self.group}:{self.partition}/{record.offset}{self._again}",
            data=record.value,
            datacontenttype=None if record.value is None else "application/octet-stream",
        )

    @property
    def _again(self) -> str:
        return f"~{self.life}" if self.life else ""
