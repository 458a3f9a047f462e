"""What a delivery says: its payload as a JSON value, and the one event made of it where no reader knows better."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from triggers.delivery import Delivery
from triggers.errors import InvalidEvent
from triggers.event import Event
from triggers.payload import media_type, parse_json, require_utf8
from triggers.senders import delivery_id, found, subject_of

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 1_000


def payload_event(delivery: Delivery) -> Sequence[Event]:
    """One event with the payload as its data, none for a ping.

    Its id is the sender's delivery id, else `Idempotency-Key`, where its scheme vouches for them; else what the payload
    says; else a digest of the raw body.
    """
    headers, body, sender = delivery.headers, delivery.body, delivery.sender
    # What a bare ping carries need not be understood.
    if sender is not None and not sender.ping_fields and sender.event_of(headers) in sender.pings:
        return []
    data = payload_of(headers.get("content-type", ""), body)
    if sender is not None and sender.is_ping(headers, data):
        return []
    happened = sender.event_of(headers, data) if sender is not None else ""
    told = found(data, sender.id_in_body) if sender is not None else ""
    event = Event(
        source=delivery.source,
        id=delivery_id(headers, delivery.vouched) or told or digest_of(body),
        type=sender.type_of(happened) if sender is not None and happened else "dev.tidemill.webhook",
        time=delivery.received_at,
        subject=subject_of(data),
        datacontenttype="application/json",
        data=data,
    )
    return [event]


def digest_of(body: bytes) -> str:
    """What names a delivery that nobody gave a name."""
    return "body-" + hashlib.blake2b(body, digest_size=16).hexdigest()


def payload_of(content_type: str, body: bytes) -> Any:
    """The payload as a JSON value, also out of a form. Raises `InvalidEvent` (400, 415, 422)."""
    media = media_type(content_type)
    if media is not None and media.is_json:
        require_utf8(media)
        return parse_json(body, "the body")
    if media is not None and media.essence == _FORM:
        return _from_form(body)
    raise InvalidEvent(f"content type {content_type[:80]!r} is not understood: post application/json", status=415)


def _from_form(body: bytes) -> Any:
    """A form's `payload` field as JSON (GitHub), else its fields. A repeated field counts with its last value."""
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise InvalidEvent(f"the form is not UTF-8 or has more than {_MOST_FIELDS} fields", status=400) from None
    if "payload" in fields:
        return parse_json(fields["payload"], "the form's payload")
    if not any(fields.values()):
        raise InvalidEvent("the form has no values: post JSON with Content-Type: application/json", status=400)
    return fields
