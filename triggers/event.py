"""The event: what happened, as CloudEvents 1.0 describes it. `source` + `id` is its identity."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NewType
from uuid import UUID

EventKey = NewType("EventKey", UUID)

ExtensionValue = str | int | bool

# Sources of events that runs of this installation caused.
EMITTED = "tidemill:emitted/"
# Sources of replays of events.
REPLAY = "tidemill:replay/"
# Sources in whose name nobody outside may speak. The triggers name these events: one of the same id that was told
# before would be taken for theirs.
KEPT: Mapping[str, str] = {
    EMITTED: "what stages of this installation emit",
    REPLAY: "replays",
    "tidemill:schedule/": "ticks of schedules",
    "tidemill:manual/": "starts by hand",
    "tidemill:hooks/": "deliveries of hooks",
    "tidemill:approvals": "decisions at gates",
    "tidemill:files": "files that land",
    "kafka:": "records of Kafka",
    "kinesis:": "records of Kinesis",
    "pulsar:": "records of Pulsar",
}
# The extension that names who made an event in a trigger's place.
FIRED_BY = "tidemillfiredby"
# The extension that names the hook of an event whose source is what the delivery is about.
HOOK = "tidemillhook"

# The extension that holds the headers of a Kafka record, as a JSON object in text.
HEADERS = "kafkaheaders"


@lru_cache(maxsize=4096)
def event_key(source: str, event_id: str) -> EventKey:
    """The 128-bit key under which Postgres holds the event `source` + `event_id` (BLAKE2b)."""
    identity = b"%d:%b%b" % (len(source), source.encode(), event_id.encode())
    return EventKey(UUID(bytes=hashlib.blake2b(identity, digest_size=16).digest()))


def events_key(keys: Sequence[UUID]) -> UUID:
    """The identity of several events, in their order. That of one is its own."""
    if len(keys) == 1:
        return keys[0]
    return UUID(bytes=hashlib.blake2b(b"".join(key.bytes for key in keys), digest_size=16).digest())


# By how much tests have set this process' clock (`triggers.faults`).
_set_by = timedelta()


def utc_now() -> datetime:
    """The wall clock, as an aware UTC datetime."""
    return datetime.now(UTC) + _set_by


def set_clock(seconds: float) -> None:
    """Let `utc_now` be so many seconds later, or earlier, than it would be: for tests."""
    global _set_by
    _set_by += timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened. `data` is a decoded JSON value, text, or bytes when it is neither."""

    source: str
    id: str
    type: str
    time: datetime
    subject: str | None = None
    data: Any = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    extensions: Mapping[str, ExtensionValue] = field(default_factory=dict)

    @property
    def key(self) -> EventKey:
        """Its identity as the inbox stores it."""
        return event_key(self.source, self.id)

    def attribute(self, name: str) -> Any:
        """The context attribute or extension called `name`, or None."""
        if name in CONTEXT_ATTRIBUTES:
            return getattr(self, name)
        return self.extensions.get(name)


CONTEXT_ATTRIBUTES = frozenset(
    {"source", "id", "type", "time", "subject", "datacontenttype", "dataschema"},
)
