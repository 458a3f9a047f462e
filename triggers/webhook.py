"""Webhooks: a delivery to `POST /hooks/NAME` becomes an event, identified by the sender's own delivery id.

Three parts, each in its place: `verify` (`triggers.signatures`, `triggers.providers`) tells who sent it, `read`
(`triggers.delivery.Reader`) which events it means, and this module holds them together. Without `read`, a delivery is
one event with the payload as its data, worded as its provider does (`triggers.delivered`). Another kind of delivery is
a reader in a file of its own; nothing here has to know of it.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, runtime_checkable

from triggers.attributes import check_event
from triggers.base import Binding, Trigger
from triggers.delivered import payload_event
from triggers.delivery import Answer, Choosy, Delivery, Reader
from triggers.errors import InvalidEvent, InvalidTrigger
from triggers.event import Event
from triggers.oddity import ODDITIES, why_unreadable
from triggers.reports import Report
from triggers.route import WEBHOOK, Route
from triggers.senders import sender_of
from triggers.signatures import DELIVERY_HEADERS, BadSignature, SignsBody, Verifier
from triggers.trace import traced

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*")


@runtime_checkable
class Proving(Verifier, Protocol):
    """A verifier whose last check needs the network: the sender's own key, or certificate."""

    async def prove(self, delivery: Delivery) -> None:
        """Raises `BadSignature`; `InvalidEvent` (503) while the key cannot be had."""


@dataclass(frozen=True)
class Webhook(Trigger):
    """Listens to `POST /hooks/HOOK`.

    `verify` says how a delivery proves its sender. Without one everybody who reaches the port can start the run:
    only for a daemon that listens on loopback. `read` says which events a delivery means, where it is not one event
    with the payload as its data. `per_minute` deliveries of known senders are taken by each daemon, the rest is
    answered 429; `max_body_bytes` is the largest body it reads (default: `http.max_body_bytes`). `origins` are the
    senders whose question whether they may send CloudEvents here (`OPTIONS`) is answered with yes; `"*"`: all.
    A body that its sender signed without the delivery's id starts nothing when it comes again under another id, for it
    may have been captured; with `same_body` each id is a delivery of its own. Triggers of several pipelines may share a
    hook if they agree in all of this.

    `report` tells a code host how the runs go that this trigger starts (`triggers.reports`).
    """

    kind: ClassVar[str] = "webhook"

    hook: str
    verify: Verifier | None = None
    read: Reader | None = None
    per_minute: int | None = None
    max_body_bytes: int | None = None
    origins: Sequence[str] = ()
    same_body: bool = False
    report: Report | None = None

    def default_name(self) -> str:
        return f"webhook:{self.hook}"

    @property
    def ear(self) -> str | None:
        """Its hook."""
        return f"hook {self.hook}"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It hears its hook."""
        mine = (route.kind, route.target) == (WEBHOOK, self.hook)
        return None if mine else f"it hears what is posted to /hooks/{self.hook}"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _NAME.fullmatch(self.hook):
            raise InvalidTrigger(
                f"webhook {self.hook!r}: a hook's name is letters, digits and . _ ~ -, as in its address"
            )
        self._check_part("verify", "verify", "GitHub(secret='env:NAME')")
        self._check_part("read", "read", "AsCloudEvent()")
        self._check_part("report", "call", "GitHubStatus(token='env:NAME')")
        for setting in ("per_minute", "max_body_bytes"):
            value = getattr(self, setting)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InvalidTrigger(f"webhook {self.hook!r}: {setting} is {value!r}: give a whole number above 0")
        if isinstance(self.origins, str) or not all(isinstance(one, str) and one for one in self.origins):
            raise InvalidTrigger(f"webhook {self.hook!r}: origins is {self.origins!r}: give a list of host names")
        if isinstance(self.read, Choosy) and self.verify is not None and self.verify.sender is not None:
            self.read.check_sender(self.verify.sender)

    def _check_part(self, setting: str, does: str, such: str) -> None:
        """Raises `InvalidTrigger` for what cannot do its part: the name of a scheme, or its class."""
        given = getattr(self, setting)
        if isinstance(given, type):
            raise InvalidTrigger(f"webhook {self.hook!r}: {setting}={given.__name__} is a class: call it, as in {such}")
        if given is not None and not callable(getattr(given, does, None)):
            raise InvalidTrigger(f"webhook {self.hook!r}: {setting}={given!r:.80} is none: give one, such as {such}")

    @cached_property
    def signs_body(self) -> SignsBody | None:
        """Its verifier, if that is one: asking for a protocol is slow, so it is asked once."""
        return self.verify if isinstance(self.verify, SignsBody) else None

    @cached_property
    def proving(self) -> Proving | None:
        """Its verifier, if that is one."""
        return self.verify if isinstance(self.verify, Proving) else None

    def shared(self) -> tuple[Any, ...]:
        """What all who listen to one hook must agree in."""
        return (self.verify, self.read, self.per_minute, self.max_body_bytes, tuple(self.origins), self.same_body)


def hooks(bindings: Sequence[Binding]) -> Mapping[str, Sequence[Binding]]:
    """Who listens to which hook; asked once, at start.

    Raises `InvalidTrigger` where a secret or token is missing or two triggers declare one hook differently.
    """
    by_hook: defaultdict[str, list[Binding]] = defaultdict(list)
    for binding in bindings:
        if isinstance(binding.trigger, Webhook):
            by_hook[binding.trigger.hook].append(binding)
    for hook, listening in by_hook.items():
        first = listening[0].trigger
        for other in listening:
            if other.trigger.report is not None:
                other.trigger.report.check()
            if other.trigger.verify != first.verify:
                raise InvalidTrigger(
                    f"hook {hook}: {listening[0].name} and {other.name} verify it differently: share one"
                )
            if other.trigger.shared() != first.shared():
                raise InvalidTrigger(
                    f"hook {hook}: {listening[0].name} and {other.name} differ in read, per_minute, max_body_bytes,"
                    " origins or same_body: share one"
                )
        if first.verify is not None:
            first.verify.check()
    return dict(by_hook)


def admit(webhook: Webhook, delivery: Delivery) -> Delivery:
    """The delivery, if its sender is who it must be. Raises `BadSignature`, before anything is parsed.

    A token may come as `?access_token=` where the sender can set no header (RFC 6750, section 2.3).
    """
    token = delivery.query.get("access_token")
    if token is not None and "authorization" not in delivery.headers:
        delivery = replace(delivery, headers={**delivery.headers, "authorization": f"Bearer {token}"})
    if webhook.verify is not None:
        try:
            webhook.verify.verify(delivery.headers, delivery.body, delivery.received_at)
        except ODDITIES as error:
            raise BadSignature(why_unreadable(error)) from None
    signs_body = webhook.signs_body
    if signs_body is not None and not webhook.same_body:
        signed = signs_body.signed(delivery.headers, delivery.body)
        delivery = replace(delivery, signed=hashlib.blake2b(signed, digest_size=16).hexdigest())
    return trusted(webhook, delivery)


def trusted(webhook: Webhook, delivery: Delivery) -> Delivery:
    """A delivery whose sender is taken to be the right one."""
    vouched = DELIVERY_HEADERS if webhook.verify is None else webhook.verify.delivery_headers
    sender = webhook.verify.sender if webhook.verify is not None else None
    if sender is None and vouched == DELIVERY_HEADERS:
        sender = sender_of(delivery.headers)
    return replace(delivery, vouched=vouched, sender=sender)


async def receive(webhook: Webhook, delivery: Delivery) -> Sequence[Event] | Answer:
    """The events of a delivery that was admitted; none for a ping, which only wants to hear that somebody is there.

    Raises `InvalidEvent`: 415 content type, 400 malformed, 422 too deep, or an attribute that cannot be one. The same
    delivery makes the same events.
    """
    try:
        if webhook.proving is not None and not delivery.dry:
            await webhook.proving.prove(delivery)
        events = payload_event(delivery) if webhook.read is None else await webhook.read.read(delivery)
        if isinstance(events, Answer):
            return events
        return [check_event(replace(one, extensions=traced(one.extensions, delivery.headers))) for one in events]
    except ODDITIES as error:
        raise InvalidEvent(why_unreadable(error)) from None
