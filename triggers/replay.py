"""A replay: an event of its own that carries another one, of which a new run is made. Pure.

The original keeps its fate and its run; the replay has its own. Stages see the original, exactly as it was accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from triggers.cloudevents import restore, to_json
from triggers.event import EMITTED, REPLAY, Event

REPLAY_TYPE = "dev.tidemill.replay"
# The triggers that runs of replays, and their sub-runs, are said to be started by.
SHADOW_TRIGGER, REPLAY_TRIGGER = "replay:shadow", "replay:effects"
REPLAY_TAGS, SHADOW_TAGS = ("replay",), ("replay", "shadow")
# Extensions of the event of a sub-run: that a run of a replay asked for it, and that this one was in shadow.
REPLAYED, SHADOW = "tidemillreplay", "tidemillshadow"


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay is of. `run` is the one the original had, if any. In `shadow` nothing outside is changed; without
    `reuse` every stage is run, whatever results are known. `events` are all that shared the run, if there were several.
    """

    original: Event
    run: int | None
    shadow: bool
    reuse: bool
    by: str
    events: Sequence[Event] = ()

    @property
    def trigger(self) -> str:
        """By which the run is said to be started: nobody counts it with those that really happened."""
        return SHADOW_TRIGGER if self.shadow else REPLAY_TRIGGER


def replay_event(replay: Replay, pipeline: str, key: str, now: datetime) -> Event:
    """The event of a replay in `pipeline`. Its identity is the original's and `key`, so sending it again is safe."""
    original = replay.original
    return Event(
        source=f"{REPLAY}{quote(pipeline, safe='')}",
        id=f"{original.key}/{key}",
        type=REPLAY_TYPE,
        time=now,
        subject=original.subject,
        datacontenttype="application/json",
        data={
            "of": str(original.key),
            "run": replay.run,
            "shadow": replay.shadow,
            "reuse": replay.reuse,
            "by": replay.by,
            "event": to_json(original),
            **({"events": [to_json(one) for one in replay.events]} if replay.events else {}),
        },
    )


def replayed(event: Event) -> Replay | None:
    """What an event is a replay of; None for one that is none. Nobody outside may send one."""
    if not event.source.startswith(REPLAY) or not isinstance(event.data, Mapping):
        return None
    told: Mapping[str, Any] = event.data
    shared = tuple(restore(one) for one in told.get("events", ()))
    return Replay(restore(told["event"]), told["run"], told["shadow"], told["reuse"], told["by"], shared)


def again(replay: Replay, pipeline: str, version: str) -> str:
    """The command that makes this replay anew, on that version."""
    effects = "" if replay.shadow else " --effects"
    reuse = "" if replay.reuse else " --no-reuse"
    return f"tidemill replay {replay.original.key} --pipeline {pipeline} --on {version}{effects}{reuse}"


def is_shadow(event: Event) -> bool:
    """Whether the run of this event may change nothing outside: a replay in shadow, or a sub-run of one."""
    if event.source.startswith(EMITTED):
        return event.extensions.get(SHADOW) is True
    return event.source.startswith(REPLAY) and isinstance(event.data, Mapping) and event.data["shadow"] is True


def is_replay(event: Event) -> bool:
    """Whether the run of this event is one of a replay, or a sub-run of one."""
    if event.source.startswith(EMITTED):
        return event.extensions.get(REPLAYED) is True
    return event.source.startswith(REPLAY)


def original_of(written: Mapping[str, Any]) -> Mapping[str, Any]:
    """The stored CloudEvent that a stored one is about: of a replay the original, of all others itself."""
    data = written.get("data")
    if str(written.get("source", "")).startswith(REPLAY) and isinstance(data, Mapping):
        original: Mapping[str, Any] = data["event"]
        return original
    return written


def carried_by(written: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The stored CloudEvents that shared the run that a stored one is a replay of; none of any other."""
    data = written.get("data")
    if str(written.get("source", "")).startswith(REPLAY) and isinstance(data, Mapping):
        return tuple(data.get("events", ()))
    return ()
