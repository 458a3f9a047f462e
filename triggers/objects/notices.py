"""What object stores tell of their objects, in whatever it comes wrapped: pure reading, no network.

Understood are S3 and MinIO notifications, EventBridge, SNS and SQS around either, Kafka (MSK) batches, GCS's Pub/Sub
pushes, CloudEvents and object change notifications, and Azure's Event Grid in both of its schemas.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from triggers.errors import InvalidEvent
from triggers.objects.event import ObjectChange
from triggers.objects.records import Unread, azure_change, eventbridge_change, gcs_change, gcs_pushed, s3_change
from triggers.payload import parse_json

# A notification of S3 in SNS in SQS in a Lambda batch is four deep.
MOST_WRAPPINGS = 6
MOST_OBJECTS = 10_000

AZURE_VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"


@dataclass(frozen=True, slots=True)
class Handshake:
    """The sender wants to hear that somebody is there: get `url` (SNS), or answer with `code` (Event Grid)."""

    url: str = ""
    code: str = ""


@dataclass(slots=True)
class Notice:
    """What one message told: objects, records that cannot be read (and why), and a handshake, each if any."""

    objects: list[ObjectChange] = field(default_factory=list)
    unread: list[tuple[Any, str]] = field(default_factory=list)
    handshake: Handshake | None = None


def read(payload: Any, headers: Mapping[str, str], received_at: datetime) -> Notice:
    """What a message says. `headers` are those it came with, names in lower case.

    What is not a notification of objects at all raises `InvalidEvent`; of several records those that cannot be read
    are told beside the others.
    """
    notice = Notice()
    _Reader(notice, received_at).take(_with_headers(payload, headers), 0)
    if len(notice.unread) == 1 and not (notice.objects or notice.handshake):
        raise InvalidEvent(notice.unread[0][1])
    return notice


def _with_headers(payload: Any, headers: Mapping[str, str]) -> Any:
    """The payload with what only its headers tell: the type of a binary CloudEvent, the state of a GCS object."""
    if "ce-type" in headers and "ce-specversion" in headers:
        named = ("specversion", "type", "source", "subject", "time", "id")
        return {name: headers.get(f"ce-{name}") for name in named} | {"data": payload}
    state = headers.get("x-goog-resource-state")
    if state is not None:
        return {"resourceState": state, "data": payload}
    if "eventtype" in headers:
        # A push of Pub/Sub without its wrapping, where that was asked for, has its attributes as headers.
        names = ("eventType", "bucketId", "objectId", "objectGeneration", "eventTime", "overwrittenByGeneration")
        told = {name: headers[name.lower()] for name in names if name.lower() in headers}
        return {"message": {"attributes": told, "unwrapped": payload}}
    return payload


class _Reader:
    """Walks through wrappings. What it cannot make sense of is noted, not raised, so that the rest is still read."""

    def __init__(self, notice: Notice, received_at: datetime) -> None:
        self._notice = notice
        self._received_at = received_at

    def take(self, payload: Any, depth: int) -> None:
        """Read a message, or the one inside it."""
        try:
            if depth > MOST_WRAPPINGS:
                raise Unread("it is wrapped too often")
            inside = list(self._inside(payload))
        except Unread as error:
            self._notice.unread.append((payload, f"this is not understood: {error}"))
            return
        for each in inside:
            if isinstance(each, ObjectChange):
                self._notice.objects.append(each)
            else:
                self.take(each.payload, depth + 1)
            if len(self._notice.objects) + len(self._notice.unread) > MOST_OBJECTS:
                raise InvalidEvent(f"one message tells of more than {MOST_OBJECTS} objects: send fewer at once")

    def _inside(self, payload: Any) -> Iterator[ObjectChange | _Wrapped]:
        if isinstance(payload, list):
            yield from map(_Wrapped, payload)
            return
        if not isinstance(payload, dict):
            raise Unread("it is neither an object nor a list of JSON")
        for key, reader in _READERS:
            if key in payload:
                yield from reader(self, payload)
                return
        raise Unread("it is no notification of an object store that is known here")

    def _records(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        """S3 and MinIO; SQS and SNS as Lambda gets them; one record of these by itself."""
        records = payload.get("Records")
        if not isinstance(records, list):
            raise Unread("Records is no list")
        return map(_Wrapped, records)

    def _record(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        yield s3_change(payload, self._received_at)

    def _lambda_sns(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        yield _Wrapped(payload["Sns"])

    def _sqs(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        yield _Wrapped(_json(payload.get("body", payload.get("Body")), "the body of the queue's message"))

    def _sqs_answer(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        messages = payload["Messages"]
        if not isinstance(messages, list):
            raise Unread("Messages is no list")
        return map(_Wrapped, messages)

    def _sns(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        kind = payload.get("Type")
        if kind == "SubscriptionConfirmation":
            self._notice.handshake = Handshake(url=str(payload.get("SubscribeURL", "")))
        elif kind != "UnsubscribeConfirmation":
            yield _Wrapped(_json(payload.get("Message"), "the message of the topic"))

    def _s3_test(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        """S3 sends `s3:TestEvent` once, when a notification is set up."""
        if payload["Event"] != "s3:TestEvent":
            raise Unread(f"the event {payload['Event']!r:.80} is not known")
        return iter(())

    def _eventbridge(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        yield eventbridge_change(payload, self._received_at)

    def _kafka_batch(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        """Records of MSK, as Lambda gets them: by partition, each value in base64."""
        partitions = payload["records"]
        if not isinstance(partitions, dict):
            raise Unread("records is not a mapping of partitions")
        for records in partitions.values():
            for record in records if isinstance(records, list) else []:
                yield _Wrapped(_unpacked(record, "value"))

    def _pubsub(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        message = payload["message"]
        if not isinstance(message, dict):
            raise Unread("the message of the push is missing")
        attributes = message.get("attributes")
        attributes = attributes if isinstance(attributes, dict) else {}
        resource = _unpacked(message, "data") if message.get("data") else message.get("unwrapped")
        if "eventType" not in attributes:
            yield _Wrapped(resource)
            return
        yield gcs_pushed(attributes, resource, self._received_at)

    def _gcs_resource(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        change = "removed" if payload.get("timeDeleted") else "created"
        yield gcs_change(payload, change, "storage#object", self._received_at)

    def _gcs_state(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        """Object change notification: the state is a header. `sync` comes once, when the channel is set up."""
        state = payload["resourceState"]
        if state == "sync":
            return
        if state not in ("exists", "not_exists"):
            raise Unread(f"the resource state {state!r:.80} is not known")
        yield gcs_change(payload.get("data"), "created" if state == "exists" else "removed", state, self._received_at)

    def _cloud_event(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        """Event Grid and Eventarc speak CloudEvents; in others the data may be a notification itself."""
        kind, data = str(payload.get("type")), payload.get("data")
        if kind.startswith("google.cloud.storage.object."):
            what = {"finalized": "created", "deleted": "removed", "archived": "removed"}
            yield gcs_change(data, what.get(kind.rpartition(".")[2], "changed"), kind, self._received_at)
        elif kind.startswith("Microsoft."):
            yield from self._azure({**payload, "eventType": kind, "eventTime": payload.get("time")})
        else:
            yield _Wrapped(data)

    def _azure(self, payload: Mapping[str, Any]) -> Iterator[ObjectChange | _Wrapped]:
        data = payload.get("data")
        if payload["eventType"] == AZURE_VALIDATION and isinstance(data, dict):
            code, url = (data.get(name) for name in ("validationCode", "validationUrl"))
            self._notice.handshake = Handshake(str(url or ""), str(code or ""))
            return
        yield azure_change(payload, self._received_at)


@dataclass(frozen=True, slots=True)
class _Wrapped:
    """A message inside another one."""

    payload: Any


# The key by which each form is known, in the order they are looked for.
_READERS = (
    ("Records", _Reader._records),
    ("s3", _Reader._record),
    ("Sns", _Reader._lambda_sns),
    ("body", _Reader._sqs),
    ("Body", _Reader._sqs),
    ("Messages", _Reader._sqs_answer),
    ("TopicArn", _Reader._sns),
    ("detail-type", _Reader._eventbridge),
    ("records", _Reader._kafka_batch),
    ("specversion", _Reader._cloud_event),
    ("eventType", _Reader._azure),
    ("message", _Reader._pubsub),
    ("resourceState", _Reader._gcs_state),
    ("kind", _Reader._gcs_resource),
    ("Event", _Reader._s3_test),
)


def _json(text: Any, what: str) -> Any:
    if isinstance(text, dict):
        return text
    if not isinstance(text, str | bytes):
        raise Unread(f"{what} is missing")
    try:
        return parse_json(text, what)
    except InvalidEvent as error:
        raise Unread(str(error)) from None


def _unpacked(record: Any, name: str) -> Any:
    """The JSON in a base64 field."""
    packed = record.get(name) if isinstance(record, dict) else None
    try:
        raw = base64.b64decode(packed if isinstance(packed, str) else "", validate=True)
    except (binascii.Error, ValueError):
        raise Unread(f"{name} is not base64") from None
    return _json(raw, name)
