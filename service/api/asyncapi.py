"""The Kafka side described in AsyncAPI 3, made from the triggers that are loaded: what is read, and what is written."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.api.answers import Json
from service.api.context import Context
from service.api.endpoint import Content, Endpoint
from service.sinks.lifecycle import TYPE
from triggers.base import Binding
from triggers.kafka import KafkaArrivals, KafkaBatches
from triggers.stream import StreamFeatures

Document = dict[str, Any]
Read = KafkaArrivals | KafkaBatches | StreamFeatures

SPECIFICATION = "3.0.0"
TEXT: Document = {"type": "string"}
CLOUDEVENT: Document = {
    "type": "object",
    "description": "A CloudEvent in its structured JSON form; its source and id are its identity",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        **{name: {"type": "string", "minLength": 1} for name in ("id", "source", "type")},
        "specversion": {"const": "1.0"},
        **dict.fromkeys(("subject", "time", "datacontenttype"), TEXT),
        "data": {},
    },
}
# A record that is no CloudEvent, by what a trigger says its value holds.
PLAIN: Mapping[str, Document] = {
    "json": {"contentType": "application/json", "payload": {}},
    "text": {"contentType": "text/plain", "payload": TEXT},
    "bytes": {"contentType": "application/octet-stream", "payload": {}},
    "registry": {"contentType": "application/octet-stream", "payload": {}, "summary": "Framed for a schema registry"},
}
LETTER: Document = {
    "name": "DeadLetter",
    "summary": "A record that could not be read, with its own key, value and headers; ours say where it was, and why",
    "contentType": "application/octet-stream",
    "payload": {},
    "headers": {
        "type": "object",
        "required": [f"tidemill-{name}" for name in ("reason", "topic", "partition", "offset", "event")],
        "properties": {
            f"tidemill-{name}": TEXT
            for name in ("reason", "topic", "partition", "offset", "timestamp", "event", "left-out")
        },
    },
}
RUN: Document = {
    "name": "RunMoved",
    "summary": "How a run goes; keyed by the run, so that those of one are in order",
    "contentType": "application/cloudevents+json",
    "payload": {
        "allOf": [
            {"$ref": "#/components/schemas/CloudEvent"},
            {
                "type": "object",
                "properties": {
                    "type": {"type": "string", "pattern": f"^{re.escape(TYPE)}"},
                    "data": {
                        "type": "object",
                        "required": ["run", "pipeline", "state"],
                        "properties": {"run": {"type": "integer"}, "pipeline": TEXT, "state": TEXT, "version": TEXT},
                    },
                },
            },
        ]
    },
}
ANY_EVENT: Document = {
    "name": "CloudEvent",
    "contentType": "application/cloudevents+json",
    "payload": {"$ref": "#/components/schemas/CloudEvent"},
}


def document(bindings: Sequence[Binding], *, servers: str | None, secured: bool, lifecycle: str | None) -> Document:
    """The whole description. `servers` are those of the broker, `lifecycle` the topic that tells of runs."""
    channels: dict[str, Document] = {}
    operations: dict[str, Document] = {}
    for topic, readers in _by_topic(bindings).items():
        _read(channels, operations, topic, readers)
    for topic in sorted(
        {t.dead_letter for b in bindings if isinstance(t := b.trigger, KafkaArrivals) and t.dead_letter}
    ):
        _written(channels, operations, topic, "DeadLetter")
    if lifecycle is not None:
        _written(channels, operations, lifecycle, "RunMoved")
    protocol = "kafka-secure" if secured else "kafka"
    hosts = (servers or "").split(",") if servers else []
    return {
        "asyncapi": SPECIFICATION,
        "info": {
            "title": "Tidemill",
            "version": version("tidemill"),
            "description": "What is read from Kafka and told on it",
        },
        "defaultContentType": "application/json",
        "servers": {f"broker{n}": {"host": host.strip(), "protocol": protocol} for n, host in enumerate(hosts, 1)},
        "channels": channels,
        "operations": operations,
        "components": {
            "schemas": {"CloudEvent": CLOUDEVENT},
            "messages": {"CloudEvent": ANY_EVENT, "DeadLetter": LETTER, "RunMoved": RUN}
            | {f"Record_{form}": {"name": "Record", **told} for form, told in PLAIN.items()},
        },
    }


def _by_topic(bindings: Sequence[Binding]) -> dict[str, list[Binding]]:
    found: dict[str, list[Binding]] = {}
    for binding in bindings:
        if isinstance(binding.trigger, Read):
            found.setdefault(binding.trigger.topic, []).append(binding)
    return dict(sorted(found.items()))


def _read(
    channels: dict[str, Document], operations: dict[str, Document], topic: str, readers: Sequence[Binding]
) -> None:
    messages: list[str] = []
    for one in readers:
        form = one.trigger.value if isinstance(one.trigger, KafkaArrivals) else "json"
        messages += ["CloudEvent"] * isinstance(one.trigger, KafkaArrivals) + [f"Record_{form}"]
    channel = _channel(channels, topic, list(dict.fromkeys(messages)))
    for one in readers:
        operations[_key(operations, f"receive_{one.name}")] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{channel}"},
            "title": one.name,
            "summary": f"{one.trigger.kind}: {_summary(one.trigger)}",
        }


def _summary(trigger: Any) -> str:
    if isinstance(trigger, KafkaArrivals):
        return "every record is one event"
    if isinstance(trigger, KafkaBatches):
        return "ranges of records become one event each"
    return f"windows of {trigger.window_s:g} s by {trigger.key} become events"


def _written(channels: dict[str, Document], operations: dict[str, Document], topic: str, message: str) -> None:
    channel = _channel(channels, topic, [message])
    operations[_key(operations, f"send_{message}_{topic}")] = {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
    }


def _channel(channels: dict[str, Document], topic: str, messages: Sequence[str]) -> str:
    """The name of the topic's channel, which has these messages, too."""
    name = next((name for name, one in channels.items() if one["address"] == topic), None)
    if name is None:
        name = _key(channels, topic)
        channels[name] = {
            "address": topic,
            "messages": {},
            "bindings": {"kafka": {"topic": topic, "bindingVersion": "0.5.0"}},
        }
    channels[name]["messages"] |= {one: {"$ref": f"#/components/messages/{one}"} for one in messages}
    return name


def _key(taken: Mapping[str, Any], wanted: str) -> str:
    """A key that references can name, and that nothing else has."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", wanted)
    numbered = (f"{plain}_{n}" for n in range(2, len(taken) + 3))
    return plain if plain not in taken else next(one for one in numbered if one not in taken)


async def description(context: Context, request: Request) -> Response:
    """What this daemon's triggers read, and what is written, in AsyncAPI 3."""
    daemon = context.daemon
    kafka, told = daemon.settings.kafka, daemon.settings.lifecycle.topic
    secured = "SSL" in kafka.security_protocol.value
    made = document(
        list(daemon.catalogue.bindings()),
        servers=daemon.kafka.bootstrap_servers if daemon.kafka else None,
        secured=secured,
        lifecycle=told,
    )
    return Json(made)


ENDPOINTS = (
    Endpoint(
        method="GET",
        path="/api/v1/asyncapi.json",
        summary="The Kafka side in AsyncAPI 3: topics that are read, dead letters, and topics that tell of runs",
        tag="system",
        handler=description,
        answers={200: Content(media_type="application/json", schema={"type": "object"})},
    ),
)
