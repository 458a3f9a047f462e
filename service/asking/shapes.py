"""What is answered to somebody who asks what an event would do."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from typing_extensions import TypedDict

from service.shapes.answers import EventAnswer, OutcomeShape


class ClauseShape(TypedDict):
    """A clause of `where` that says no: what it wants, what the event has there (null: nothing), and both in words."""

    clause: str
    wanted: Any
    found: Any
    told: str


class TriggerVerdict(TypedDict):
    """What one trigger makes of an event. `reached`: such an event gets to it at all.

    `fate` is what would come of it in the pipeline by this trigger, null where it is not reached.
    """

    pipeline: str
    trigger: str
    kind: str
    reached: bool
    fate: str | None
    reason: str
    clauses: list[ClauseShape]


class LimitsShape(TypedDict):
    """What holds of how many runs at once, each null where nothing does, and how it stands now.

    `key` is that of the pipeline's `concurrency`, `unfinished` are the runs of it.
    """

    key: str | None
    at_most: int | None
    policy: str | None
    unfinished: list[int]
    max_running: int | None
    running: int
    rate: str | None
    rate_runs: int | None
    rate_per_s: float | None
    rate_started: int
    pool: str | None
    pool_places: int | None
    pool_taken: int


class RunForetold(TypedDict):
    """A run that would be started. `told` says in words when."""

    pipeline: str
    version: str
    trigger: str
    params: dict[str, Any]
    priority: int
    tags: list[str]
    due_at: datetime | None
    queue_timeout_s: float | None
    limits: LimitsShape
    told: str


class EventExplained(TypedDict):
    """What an event would do. `known`: it was accepted before, with the `outcomes`; sent again it changes nothing."""

    key: str
    cloudevent: dict[str, Any]
    route: str
    known: bool
    outcomes: list[OutcomeShape]
    runs: list[RunForetold]
    triggers: list[TriggerVerdict]


class FireAnswer(TypedDict):
    """What was fired and what became of it, as for any event; with `dry_run`, what would become of it."""

    trigger: str
    dry_run: bool
    cloudevent: dict[str, Any]
    events: list[EventAnswer]
    explained: EventExplained | None


class ReplayAnswer(TypedDict):
    """A replay: its event and run, and those it is of. In `shadow` it changes nothing outside."""

    event: str
    run: int
    of_event: str
    of_run: int | None
    pipeline: str
    version: str
    shadow: bool
    reuse: bool


class LackShape(TypedDict):
    """Something a source has and the inbox has no event of. `expected`: that is as it should be.

    `repair`: whether it can be made up for; `event` is the key of the event that did, where that was asked for.
    """

    what: str
    why: str
    expected: bool
    repair: bool
    event: str | None


class ReconciledShape(TypedDict):
    """One trigger's source against the inbox. `error`: why it could not be compared, else empty."""

    trigger: str
    kind: str
    checked: int
    differences: int
    lacks: list[LackShape]
    notes: list[str]
    error: str


class ReconcileAnswer(TypedDict):
    """What was compared, and how many things have no event though they should; `repaired` of them have one now."""

    since: datetime
    until: datetime
    differences: int
    repaired: int
    triggers: list[ReconciledShape]


class ChangedShape(TypedDict):
    """An event of which something else would have become.

    `before` is `unheard` where the trigger had no say, `after` is `gone` for a tick that would not have come.
    """

    seq: int
    key: str
    source: str
    id: str
    accepted_at: datetime
    before: str
    before_reason: str
    after: str
    after_reason: str


class RehearsedRun(TypedDict):
    """A run that would have been: its first event by key, how many events it holds, and when it might have started."""

    first_event: str
    events: int
    starts_at: datetime


class TicksShape(TypedDict):
    """Ticks that would have been due in a time, before and after a change, and those that are in one of them only."""

    before: int
    after: int
    gone: list[str]
    new: list[str]


class DueAnswer(TypedDict):
    """When a schedule was due in a time, and since when the daemon has known it (null: it never has)."""

    due: list[datetime]
    began_at: datetime | None


class BacktestAnswer(TypedDict):
    """What a trigger with other settings would have done with the recorded events of a time.

    `before` and `after` count events by fate; of `changed` and `runs` the first 1,000 are listed, `changes` counts all.
    `ticks` is told of schedules; new ones that would have come by now are among `after` and `runs_after`. `read_until`:
    there was more than is read at once, and this is where it stopped.
    """

    trigger: str
    since: datetime
    until: datetime
    events: int
    before: dict[str, int]
    after: dict[str, int]
    runs_before: int
    runs_after: int
    changes: int
    changed: list[ChangedShape]
    runs: list[RehearsedRun]
    ticks: TicksShape | None
    read_until: datetime | None


class KnownAnswer(TypedDict):
    """Those of the ids asked for of which there is an event."""

    known: list[str]
