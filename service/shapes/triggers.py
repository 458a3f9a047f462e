"""What the API answers of triggers and of what is paused."""

from __future__ import annotations

from datetime import datetime

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict

from service.shapes.system import SinkShape


class TriggerShape(TypedDict):
    """A trigger and what its listeners say. `state` is the best of theirs; `address` is where it is posted to.

    `unheard`: it needs a listener, and no living daemon has one. `disabled`: it is switched off. `ended`: a
    schedule that is not due any more. `paused`: somebody has paused it, or its pipeline; it hears, and starts nothing.
    `lag_s`: how long what waits has waited, at most.
    `silent_since` is set while nothing has come for longer than `expect_every_s`.
    """

    name: str
    pipeline: str
    trigger: str
    kind: str
    enabled: bool
    paused: PauseShape | None
    address: str | None
    state: str
    note: str
    last_seen_at: datetime | None
    next_due_at: datetime | None
    lag_records: int | None
    lag_s: float | None
    expect_every_s: float | None
    silent_since: datetime | None
    reported_at: datetime | None


class PauseShape(TypedDict):
    """Who paused a trigger, or (no trigger) a whole pipeline, when and why."""

    name: str
    pipeline: str
    trigger: str | None
    reason: str
    by: str
    at: datetime | None


class PausesAnswer(TypedDict):
    """What is paused, the oldest pause first."""

    pauses: list[PauseShape]


class UnpausedAnswer(TypedDict):
    """Who let a trigger or a pipeline go on, and since when it was paused (null: for a moment just now).

    `pause` is the pause that is over: `GET /api/v1/events?fate=paused&pause=...` lists what it held back.
    """

    name: str
    pipeline: str
    trigger: str | None
    by: str
    pause: int
    paused_at: datetime | None


class TriggersAnswer(TypedDict):
    """Triggers of every daemon, by name, and the sinks of this one. `next` goes into `after` for the next page; null on
    the last one.
    """

    triggers: list[TriggerShape]
    next: str | None
    sinks: list[SinkShape]
