"""Reads deliveries of object stores' notifications, and answers their handshakes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from triggers import web
from triggers.delivery import Answer, Delivery
from triggers.errors import InvalidEvent, SourceUnavailable
from triggers.event import Event
from triggers.objects.event import event_of, unreadable
from triggers.objects.notices import Handshake, read
from triggers.objects.senders import is_confirmation
from triggers.payload import parse_json

logger = logging.getLogger("tidemill.objects")


@dataclass(frozen=True)
class NoticeReader:
    """See `triggers.delivery.Reader`."""

    async def read(self, delivery: Delivery) -> Sequence[Event] | Answer:
        """One event for each object. Whatever its content type says, a notification is JSON: SNS sends text/plain."""
        notice = read(parse_json(delivery.body, "the body"), delivery.headers, delivery.received_at)
        if notice.handshake is not None and not notice.objects:
            return await shake_hands(notice.handshake, delivery)
        unread = [unreadable(record, why, delivery.source, delivery.received_at) for record, why in notice.unread]
        return [*map(event_of, notice.objects), *unread]


async def shake_hands(wanted: Handshake, delivery: Delivery) -> Answer:
    """Answer a sender that wants to hear that somebody is there, or tell it. Raises `InvalidEvent`."""
    if wanted.code:
        body = orjson.dumps({"validationResponse": wanted.code})
        return Answer(200, body, "application/json")
    if not is_confirmation(wanted.url):
        raise InvalidEvent(
            "a handshake without a validationCode (Event Grid), and no SubscribeURL at which SNS wants to be confirmed"
        )
    if not delivery.dry:
        try:
            await web.fetch(wanted.url)
        except SourceUnavailable as error:
            raise InvalidEvent(f"the subscription could not be confirmed: {error}", status=503) from None
        logger.info("hook %s: confirmed the subscription to an SNS topic", delivery.hook)
    return Answer(200)
