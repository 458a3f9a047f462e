"""The event somebody asks about: a CloudEvent, or what a Kafka record, a delivery or a file would become."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from service.catalogue import Catalogue
from service.errors import Invalid
from triggers.base import Binding
from triggers.cloudevents import from_json
from triggers.delivery import Answer, Delivery
from triggers.errors import InvalidEvent
from triggers.event import Event
from triggers.files import Files
from triggers.files.event import encode_path, landed
from triggers.firing import made_up, reader_of
from triggers.kafka import KafkaArrivals
from triggers.kafka.records import event_of, source_of
from triggers.kafka.values import read_json
from triggers.marked import marked, untold
from triggers.route import FILE, HTTP, KAFKA, WEBHOOK, Route
from triggers.webhook import Webhook, hooks, receive, trusted

NOWHERE = "explained"
FORMS = "kafka:TOPIC, webhook:HOOK or file:PATH"


@dataclass(frozen=True, slots=True)
class Given:
    """An event that might come, by which way, and why it would be dead on arrival (empty: it would not)."""

    event: Event
    route: Route
    dead: str = ""

    def holding(self, secrets: Sequence[str]) -> Given:
        """The same with these paths marked as secrets."""
        why = untold(self.dead) if self.dead and secrets else self.dead
        return replace(self, event=marked(self.event, secrets), dead=why)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was handed in: `payload` is the raw text of a record, a body, or a CloudEvent in JSON; `form` is as in
    `--as`, empty for a CloudEvent; `headers` belong to a delivery or a record, `key` to a record.
    """

    payload: str
    form: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str = ""


async def given(asked: Asked, catalogue: Catalogue, root: Path, now: datetime) -> Given:
    """The event that this would be. Raises `Invalid` or `InvalidEvent`; signatures are not asked for."""
    kind, _, target = asked.form.partition(":")
    if (asked.headers and kind not in (KAFKA, WEBHOOK)) or (asked.key and kind != KAFKA):
        raise Invalid("headers belong to a Kafka record or a delivery, a key to a Kafka record: say so with `as`")
    if not kind:
        return Given(_cloudevent(asked.payload, now), Route(HTTP))
    if not target or kind not in (KAFKA, WEBHOOK, FILE):
        raise Invalid(f"as {asked.form!r}: give one of {FORMS}")
    if kind == KAFKA:
        read = next((reader_of(one.trigger) for one in _reading(catalogue, target)), read_json)
        event, dead = event_of(
            made_up(asked.payload, now, asked.key, asked.headers), source_of(NOWHERE, target), now, read
        )
        return Given(event, Route(KAFKA, target), dead)
    if kind == WEBHOOK:
        return Given(await _delivered(asked, target, catalogue, now), Route(WEBHOOK, target))
    return _landed(target, catalogue, root, now)


def _landed(target: str, catalogue: Catalogue, root: Path, now: datetime) -> Given:
    """Only what a trigger would see is looked at on the disk."""
    path = os.path.normpath(root / target) + ("/" if target.endswith("/") else "")
    route = Route(FILE, path, str(root))
    seen = any(one.trigger.deaf_to(route, one.pipeline) is None for one in catalogue.bindings(Files))
    return Given(_file(path, root, now, look=seen), route)


def _reading(catalogue: Catalogue, topic: str) -> list[Binding]:
    return [one for one in catalogue.bindings(KafkaArrivals) if one.trigger.topic == topic]


def _cloudevent(payload: str, now: datetime) -> Event:
    value = _json(payload)
    try:
        return from_json(value, received_at=now)
    except InvalidEvent as error:
        if isinstance(value, dict) and "specversion" in value:
            raise
        raise Invalid(f"this is no CloudEvent ({error}): complete it, or say what it is with --as {FORMS}") from None


def _json(payload: str) -> Any:
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"this is not JSON ({error}): give a CloudEvent, or say what it is with --as {FORMS}") from None


async def _delivered(asked: Asked, hook: str, catalogue: Catalogue, now: datetime) -> Event:
    listening = hooks(list(catalogue.bindings())).get(hook)
    if listening is None:
        known = ", ".join(sorted(hooks(list(catalogue.bindings())))) or "none: no pipeline declares a Webhook"
        raise Invalid(f"no hook is called {hook[:80]!r}; there are {known}")
    headers = {"content-type": "application/json", **{name.lower(): value for name, value in asked.headers.items()}}
    webhook: Webhook = listening[0].trigger
    delivery = Delivery(hook=hook, headers=headers, body=asked.payload.encode(), received_at=now, dry=True)
    events = await receive(webhook, trusted(webhook, delivery))
    if isinstance(events, Answer):
        raise Invalid("this is a handshake: it is answered, and becomes no event")
    if not events:
        raise Invalid("this is a ping: it only wants to hear that somebody is there, and becomes no event")
    return events[0]


def _file(path: str, root: Path, now: datetime, *, look: bool) -> Event:
    """What a file would be once it has landed. Where it lies already its size and time are its own."""
    size_bytes, mtime_ns = 0, int(now.timestamp()) * 1_000_000_000
    if look:
        with contextlib.suppress(OSError, ValueError):
            status = os.stat(path)  # noqa: PTH116
            size_bytes, mtime_ns = status.st_size, status.st_mtime_ns
    key = encode_path(path.removeprefix(str(root).rstrip("/") + "/"))
    files = 1 if path.endswith("/") else None
    return landed(
        path=path, key=key, size_bytes=size_bytes, mtime_ns=mtime_ns, identity=NOWHERE, digest=None, files=files
    )
