"""What S3 and SNS send, as CloudEvents' own adapters word it. Ids are ours: those tell whether something is a repeat.

Source: cloudevents/spec, adapters/aws-s3.md and adapters/aws-sns.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from triggers.attributes import is_text, is_uri, timestamp
from triggers.delivery import Delivery
from triggers.errors import InvalidEvent
from triggers.event import HOOK, Event
from triggers.objects.event import event_of
from triggers.objects.notices import Handshake
from triggers.objects.reader import shake_hands
from triggers.objects.records import Unread, s3_change
from triggers.payload import parse_json

S3, SNS = "com.amazonaws.s3.", "com.amazonaws.sns."
_MOST_RECORDS = 10_000
_SERVICE = re.compile(r"[a-z0-9]+:s3")
_MESSAGES = ("Notification", "SubscriptionConfirmation", "UnsubscribeConfirmation")


async def amazon_events(delivery: Delivery) -> Sequence[Event] | None:
    """The events of a delivery of S3 or SNS; None for any other. A subscription that wants it is confirmed."""
    try:
        payload = parse_json(delivery.body, "the body")
    except InvalidEvent:
        return None
    if not isinstance(payload, dict):
        return None
    if payload.get("Type") in _MESSAGES and is_text(payload.get("TopicArn")):
        return [await _message(payload, delivery)]
    records = payload.get("Records")
    if isinstance(records, list) and 0 < len(records) <= _MOST_RECORDS and all(map(_is_s3, records)):
        try:
            return [_record(one, delivery) for one in records]
        except Unread as error:
            raise InvalidEvent(f"this is not understood: {error}") from None
    return None


async def _message(payload: Mapping[str, Any], delivery: Delivery) -> Event:
    kind, message_id = payload["Type"], payload.get("MessageId")
    if not isinstance(message_id, str) or not is_text(message_id):
        raise InvalidEvent("MessageId is missing, by which a message of SNS is known")
    if kind == "SubscriptionConfirmation":
        await shake_hands(Handshake(url=str(payload.get("SubscribeURL", ""))), delivery)
    told = payload.get("Subject")
    return Event(
        source=_told_by(payload, delivery),
        id=message_id,
        type=SNS + kind,
        time=timestamp(payload.get("Timestamp")),
        subject=told if kind == "Notification" and is_text(told) else None,
        datacontenttype="application/json",
        data=payload,
        extensions={HOOK: delivery.hook},
    )


def _told_by(payload: Mapping[str, Any], delivery: Delivery) -> str:
    """The topic, or the subscription to it. That is in a header, which is believed where it goes with the topic."""
    topic = payload["TopicArn"]
    source = topic
    if payload["Type"] != "SubscriptionConfirmation":
        given = delivery.headers.get("x-amz-sns-subscription-arn", "")
        source = given if given.startswith(f"{topic}:") else ""
    return source if source.startswith("arn:") and is_uri(source) else delivery.source


def _is_s3(record: Any) -> bool:
    service = record.get("eventSource") if isinstance(record, dict) else None
    return isinstance(service, str) and _SERVICE.fullmatch(service) is not None


def _record(record: Mapping[str, Any], delivery: Delivery) -> Event:
    """Known by the object and its state, as every notice of it is; only its source is another."""
    ours = event_of(s3_change(record, delivery.received_at))
    about = record["s3"]
    source = f"{record['eventSource']}.{record.get('awsRegion', '')}.{about['bucket']['name']}"
    key = about["object"]["key"]
    return Event(
        source=source if is_uri(source) else delivery.source,
        id=ours.id,
        type=f"{S3}{record['eventName']}",
        time=ours.time,
        subject=key if is_text(key) else ours.subject,
        datacontenttype="application/json",
        data=record,
        extensions={HOOK: delivery.hook},
    )
