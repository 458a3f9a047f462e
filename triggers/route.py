"""By which way an event comes to the daemon: what decides which triggers hear of it at all. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from triggers.event import HOOK, REPLAY, Event

HTTP, KAFKA, BATCH, WEBHOOK, FILE = "http", "kafka", "kafka-batch", "webhook", "file"
SCHEDULE, MANUAL, APPROVAL, OBJECT = "schedule", "manual", "approval", "object"
STREAM = "stream-batch"

_STREAMS = ("kinesis:", "pulsar:")
_BATCH_TYPES = {"dev.tidemill.kafka.batch", "dev.tidemill.stream.features"}
_SUBRUN = "dev.tidemill.subrun"
_OURS = {
    "tidemill:schedule/": SCHEDULE,
    "tidemill:manual/": MANUAL,
    "tidemill:hooks/": WEBHOOK,
    "tidemill:approvals": APPROVAL,
}


@dataclass(frozen=True, slots=True)
class Route:
    """`kind` is the door, `target` the topic, hook, pipeline, `pipeline/trigger` of a schedule, or absolute path.

    `root` is the folder that relative patterns of files start from. Of an object, `target` is its address.
    """

    kind: str
    target: str = ""
    root: str = "/"

    def __str__(self) -> str:
        return f"{self.kind}:{self.target}" if self.target else self.kind


def route_of(event: Event, root: str = "/") -> Route:
    """By which way an event that was accepted has come, as its source tells. Posted events have sources of their own,
    and so have CloudEvents read from Kafka: they count as posted.
    """
    ours = route_of_source(event.source)
    if ours is not None:
        return ours
    if HOOK in event.extensions:
        return Route(WEBHOOK, str(event.extensions[HOOK]))
    if event.source == "tidemill:files" and isinstance(event.data, Mapping):
        return Route(FILE, _path_of(event.data), root)
    if event.type.startswith("dev.tidemill.object.") and isinstance(event.data, Mapping):
        return Route(OBJECT, str(event.data.get("url", "")))
    if event.source.startswith(_STREAMS):
        return Route(STREAM, f"{event.source.partition(':')[0]}/{event.source.rpartition('/')[2]}")
    if event.type == _SUBRUN or event.source.startswith(REPLAY):
        return Route("subrun" if event.type == _SUBRUN else "replay")
    if event.source.startswith("kafka:"):
        topic = event.source.rpartition("/")[2]
        return Route(BATCH if event.type in _BATCH_TYPES else KAFKA, topic)
    return Route(HTTP)


def route_of_source(source: str) -> Route | None:
    """By which way the events of a source of ours come that tells as much; None for any other."""
    for start, kind in _OURS.items():
        if source.startswith(start):
            return Route(kind, unquote(source.removeprefix(start)))
    return None


def _path_of(data: Mapping[str, Any]) -> str:
    """The path of a landed file; that of a folder ends in `/`."""
    path = str(data.get("path", ""))
    return f"{path.rstrip('/')}/" if "files" in data else path
