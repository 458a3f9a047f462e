"""The event a trigger would make, made because a person asks for it. New kinds register what theirs is.

What is fired has an id of its own, so that it is never taken for what really happens, nor the other way round.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import singledispatch
from pathlib import Path
from typing import Any
from urllib.parse import quote

from triggers.approval import Approval
from triggers.base import Binding, OffsetRange, ShardRange, Trigger
from triggers.cloudevents import CloudEvents, from_json
from triggers.continuous.shards import StreamBatches
from triggers.delivery import Answer, Delivery
from triggers.errors import InvalidEvent
from triggers.event import FIRED_BY, Event
from triggers.files import Files
from triggers.files.digest import identify
from triggers.files.event import encode_path, landed
from triggers.files.policy import Verdict
from triggers.files.stamp import Found, file_stamp, folder_stamp, members_of
from triggers.kafka import KafkaArrivals, KafkaBatches
from triggers.kafka.records import event_of, source_of
from triggers.kafka.values import FORMATS, ReadValue, read_json
from triggers.manual import Manual
from triggers.objects import Objects, ObjectTopic
from triggers.objects.event import event_of as object_event
from triggers.objects.notices import read
from triggers.payload import parse_json
from triggers.route import FILE, Route
from triggers.schedule import Schedule, tick_event
from triggers.stream import StreamFeatures
from triggers.stream.event import FEATURES_TYPE, utc
from triggers.webhook import Webhook, receive, trusted

FIRED = "dev.tidemill.fired"
# Tells a repeat from another use of the same key.
FIRED_WITH = "tidemillfiredwith"
NOWHERE = "fired"

_STRUCTURED = ("content-type", b"application/cloudevents+json")


@dataclass(frozen=True, slots=True)
class Firing:
    """What somebody asks a trigger of `pipeline` to fire with.

    `payload` is the text of a record or body (empty: none was given), `headers` and `record_key` belong to it, `path`
    is that of a file, `wanted_at` when it happens, if that was said, and `root` the folder that relative paths start
    from.
    """

    pipeline: str
    now: datetime
    root: Path
    payload: str = ""
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    wanted_at: datetime | None = None
    record_key: str = ""

    @property
    def at(self) -> datetime:
        """When it happens."""
        return (self.wanted_at or self.now).astimezone(UTC)

    @property
    def digest(self) -> str:
        """Of all that was asked for: the same for a repeat."""
        keyed = [self.record_key] if self.record_key else []
        told = json.dumps([self.payload, self.path, sorted(self.headers.items()), str(self.wanted_at), *keyed])
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Fired:
    """The event, and why it is dead on arrival (empty: it is not)."""

    event: Event
    dead: str = ""


@dataclass(frozen=True, slots=True)
class MadeUpRecord:
    """A Kafka record that is nowhere."""

    value: bytes
    timestamp: int
    headers: list[tuple[str, bytes]]
    key: bytes | None = None
    partition: int = 0
    offset: int = 0


async def fire(trigger: Trigger, firing: Firing, key: str, by: str) -> Fired:
    """What `trigger` would make now, known by `key` and marked as fired by `by`.

    Raises `InvalidEvent` where what was given is not enough, or not of its kind.
    """
    if firing.headers and not isinstance(trigger, KafkaArrivals | Webhook):
        raise InvalidEvent(f"{trigger.name} makes events that have no headers: only Kafka records and deliveries do")
    if firing.record_key and not isinstance(trigger, KafkaArrivals):
        raise InvalidEvent(f"{trigger.name} makes events that have no key: only Kafka records do")
    made = await make(trigger, firing)
    extensions = {**made.event.extensions, FIRED_BY: by, FIRED_WITH: firing.digest}
    return replace(made, event=replace(made.event, id=f"fired/{key}", extensions=extensions))


@singledispatch
async def make(trigger: Trigger, firing: Firing) -> Fired:
    """The event of a kind that registered nothing: of a type of its own, with what was given as its data."""
    name = Binding(firing.pipeline, trigger).name
    data = parse_json(firing.payload, "the data") if firing.payload else None
    plain = {"specversion": "1.0", "id": "-", "source": f"tidemill:fired/{_quoted(name)}", "type": FIRED}
    return Fired(replace(from_json(plain, received_at=firing.at), data=data, datacontenttype="application/json"))


@make.register
async def _schedule(trigger: Schedule, firing: Firing) -> Fired:
    return Fired(tick_event(Binding(firing.pipeline, trigger), firing.at))


@make.register
async def _record(trigger: KafkaArrivals, firing: Firing) -> Fired:
    record = made_up(firing.payload, firing.at, firing.record_key, firing.headers)
    event, dead = event_of(record, source_of(NOWHERE, trigger.topic), firing.at, reader_of(trigger))
    return Fired(event, dead)


@make.register
async def _batch(trigger: KafkaBatches, firing: Firing) -> Fired:
    """A batch is where its records are: that has to be said."""
    data = {"cluster": NOWHERE, "topic": trigger.topic, **_given(firing.payload)}
    event = Event(
        source=source_of(str(data.get("cluster")), trigger.topic),
        id="-",
        type="dev.tidemill.kafka.batch",
        time=firing.at,
        data=data,
        datacontenttype="application/json",
    )
    try:
        offsets = OffsetRange.of(event)
    except (KeyError, TypeError):
        raise InvalidEvent(
            f"{trigger.name} makes events of records that are in Kafka: say which, with --data, as in "
            '{"cluster": "ID", "partition": 0, "first_offset": 0, "last_offset": 9, "count": 10}'
        ) from None
    return Fired(replace(event, subject=f"{offsets.topic}/{offsets.partition}"))


@make.register
async def _shard_batch(trigger: StreamBatches, firing: Firing) -> Fired:
    """As of a batch in Kafka: where its records are has to be said."""
    stream = trigger.stream.rpartition("/")[2]
    data = {"kind": trigger.kind, "account": NOWHERE, "stream": stream, **_given(firing.payload)}
    event = Event(
        source=f"{trigger.family}:{data['account']}/{trigger.stream}",
        id="-",
        type=f"dev.tidemill.{trigger.family}.batch",
        time=firing.at,
        data=data,
        datacontenttype="application/json",
    )
    try:
        place = ShardRange.of(event)
    except (KeyError, TypeError):
        raise InvalidEvent(
            f"{trigger.name} makes events of records that are in the stream: say which, with --data, as in "
            '{"account": "ID", "shard": "NAME", "first": "PLACE", "last": "PLACE", "count": 10}'
        ) from None
    return Fired(replace(event, subject=f"{place.stream}/{place.shard}"))


@make.register
async def _window(trigger: StreamFeatures, firing: Firing) -> Fired:
    """A closed window is its rows: they have to be said. It ended when it is fired, unless that is said too."""
    given = _given(firing.payload)
    rows = given.get("rows")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        row = {"key": "KEY"} | dict.fromkeys(trigger.aggregates, 1)
        raise InvalidEvent(
            f"{trigger.name} makes events of closed windows: say which, with --data, as in "
            f"{json.dumps({'rows': [row]})}"
        )
    end_ms = round(firing.at.timestamp() * 1000)
    ends = {"window_start": utc(end_ms - trigger.shape().window_ms), "window_end": utc(end_ms)}
    place = {"cluster": NOWHERE, "topic": trigger.topic, "partition": 0, "offsets": None, "part": 1, "parts": 1}
    data = {**place, **ends, **given}
    event = Event(
        source=source_of(str(data["cluster"]), trigger.topic),
        id="-",
        type=FEATURES_TYPE,
        time=firing.at,
        subject=f"{trigger.topic}/{data['partition']}",
        data=data,
        datacontenttype="application/json",
    )
    return Fired(event)


@make.register
async def _delivery(trigger: Webhook, firing: Firing) -> Fired:
    headers = {"content-type": "application/json", **{name.lower(): value for name, value in firing.headers.items()}}
    body = (firing.payload or "{}").encode()
    delivery = Delivery(hook=trigger.hook, headers=headers, body=body, received_at=firing.at, dry=True)
    events = await receive(trigger, trusted(trigger, delivery))
    if isinstance(events, Answer) or not events:
        raise InvalidEvent("a ping or a handshake becomes no event: it only wants to hear that somebody is there")
    if len(events) > 1:
        raise InvalidEvent(f"this delivery means {len(events)} events: fire them one by one")
    return Fired(events[0])


@make.register
async def _cloudevent(trigger: CloudEvents, firing: Firing) -> Fired:
    """A CloudEvent as given, or only its data; what it needs besides is made up."""
    given = parse_json(firing.payload, "the data") if firing.payload else None
    if not (isinstance(given, dict) and "specversion" in given):
        given = {"data": given} if given is not None else {}
    name = _quoted(Binding(firing.pipeline, trigger).name)
    made_up = {"specversion": "1.0", "id": "-", "source": f"tidemill:fired/{name}", "type": _wanted_type(trigger)}
    return Fired(from_json({**made_up, **given}, received_at=firing.at))


@make.register
async def _decision(trigger: Approval, firing: Firing) -> Fired:
    """The run that was decided about, and at which gate, have to be said where the trigger does not say them."""
    asked = {"pipeline": trigger.pipeline, "gate": trigger.gate, "decision": trigger.decision or "approved"}
    data: dict[str, Any] = {**asked, "decided": True, "run_id": None, "by": None, "reason": "", "subjects": {}}
    data |= _given(firing.payload)
    lacking = [name for name in ("pipeline", "gate", "run_id") if data[name] is None]
    if lacking:
        example = {"pipeline": "NAME", "gate": "STAGE-STAGE", "run_id": 12}
        raise InvalidEvent(
            f"{trigger.name} makes events of decisions at gates: say which, with --data, as in "
            f"{json.dumps({name: example[name] for name in lacking})}"
        )
    event = Event(
        source="tidemill:approvals",
        id="-",
        type=f"dev.tidemill.gate.{data['decision']}",
        time=firing.at,
        subject=None if data["pipeline"] is None else str(data["pipeline"]),
        data=data,
        datacontenttype="application/json",
    )
    return Fired(event)


@make.register
async def _by_hand(trigger: Manual, firing: Firing) -> Fired:
    raise InvalidEvent(f"starts by hand have a command of their own: tidemill run {firing.pipeline}")


@make.register
async def _file(trigger: Files, firing: Firing) -> Fired:
    """The file or folder must be there, and be one that the trigger would see."""
    return await asyncio.to_thread(_landed, trigger, firing)


def _landed(trigger: Files, firing: Firing) -> Fired:
    if not firing.path:
        raise InvalidEvent(f"{trigger.name} makes events of files: say which, with --path")
    path = os.path.normpath(firing.root / firing.path)
    folder = Path(path).is_dir()
    deaf = trigger.deaf_to(Route(FILE, f"{path}/" if folder else path, str(firing.root)), firing.pipeline)
    if deaf is not None:
        raise InvalidEvent(f"{trigger.name} would not see it: {deaf}")
    try:
        found = _found(path, firing.root, trigger, folder=folder)
        identity, digest = identify(found, trigger.policy, threading.Event())
    except OSError as error:
        raise InvalidEvent(f"{path} cannot be read: {error.strerror}") from None
    event = landed(
        path=path,
        key=found.key,
        size_bytes=found.size_bytes,
        mtime_ns=found.mtime_ns,
        identity=identity,
        digest=digest,
        files=found.files,
    )
    return Fired(event)


def _found(path: str, root: Path, trigger: Files, *, folder: bool) -> Found:
    key = encode_path(path.removeprefix(str(root).rstrip("/") + "/"))
    if not folder:
        status = os.stat(path, follow_symlinks=trigger.follow_symlinks)  # noqa: PTH116
        return Found(path, key, file_stamp(status), status.st_size, status.st_mtime_ns, (0,), Verdict.READY)
    members = members_of(path, trigger.policy)
    size = sum(member.status.st_size for member in members)
    newest_ns = max((member.status.st_mtime_ns for member in members), default=0)
    return Found(path, f"{key}/", folder_stamp(members), size, newest_ns, (0,), Verdict.READY, files=len(members))


@make.register
async def _object(trigger: Objects, firing: Firing) -> Fired:
    """The object or folder must be there, and be one that the trigger would see. `path` is its address or its key."""
    from triggers.objects.found import found_at

    return Fired(await found_at(trigger, firing.path, firing.at))


@make.register
async def _told(trigger: ObjectTopic, firing: Firing) -> Fired:
    """A notification of one object, as its store words it."""
    notice = read(parse_json(firing.payload or "{}", "the record"), {}, firing.at)
    if len(notice.objects) != 1:
        raise InvalidEvent(f"this record tells of {len(notice.objects)} objects: fire them one by one")
    return Fired(object_event(notice.objects[0]))


def reader_of(trigger: KafkaArrivals) -> ReadValue:
    """How a value that is given as text is read: as the trigger reads values, where that needs no schema."""
    return FORMATS.get(trigger.value, read_json)


def made_up(payload: str, now: datetime, key: str, headers: Mapping[str, str]) -> MadeUpRecord:
    """A record with this text as its value, this key (empty: none) and these headers; of a CloudEvent, it says so."""
    try:
        value: Any = parse_json(payload, "the value")
    except InvalidEvent:
        value = None
    structured = isinstance(value, dict) and "specversion" in value
    given = [(name, value.encode()) for name, value in headers.items()]
    typed = any(name.lower() == _STRUCTURED[0] for name in headers)
    return MadeUpRecord(
        value=payload.encode(),
        timestamp=int(now.timestamp() * 1000),
        headers=[_STRUCTURED, *given] if structured and not typed else given,
        key=key.encode() if key else None,
    )


def _given(payload: str) -> dict[str, Any]:
    """The data that was given; nothing is an empty object. Raises `InvalidEvent` where it is something else."""
    given = parse_json(payload, "the data") if payload else {}
    if not isinstance(given, dict):
        raise InvalidEvent(f"the data is {type(given).__name__}, not an object")
    return given


def _wanted_type(trigger: CloudEvents) -> str:
    """The type that the trigger asks for, where it asks for one."""
    wanted = trigger.where.get("type")
    return wanted if isinstance(wanted, str) else FIRED


def _quoted(name: str) -> str:
    return quote(name, safe="/:")
