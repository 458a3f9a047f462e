"""What the API answers: the shape of every JSON document. Its OpenAPI description is made from these."""

from __future__ import annotations

from datetime import datetime
from typing import Any

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict

from service.shapes.gates import GateShape
from service.shapes.replays import EffectShape, ReplayOf, ReplayShape


class OutcomeShape(TypedDict):
    """What an event led to in one pipeline."""

    pipeline: str
    trigger: str
    fate: str
    reason: str
    run: int | None


class EventAnswer(TypedDict):
    """An accepted event. `fate` is the strongest of its outcomes: ran, coalesced, rate-limited, late,
    paused, dead, ignored. `first` is false for one that was accepted before: what is told is what became of it then.
    """

    id: str
    source: str
    key: str
    first: bool
    fate: str
    reason: str
    runs: list[int]
    outcomes: list[OutcomeShape]


class EventsAnswer(TypedDict):
    """What became of the events of a request, in their order. True because it is committed."""

    events: list[EventAnswer]


class EventName(TypedDict):
    """Which event. `key` is its identity in one word; `source` and `id` are the same in two."""

    key: str
    source: str
    id: str
    type: str
    subject: str | None


class EventSummary(EventName):
    """An event in a list. `seq` is its place, for paging."""

    seq: int
    occurred_at: datetime
    accepted_at: datetime
    fate: str
    outcomes: list[OutcomeShape]


class EventsPage(TypedDict):
    """Newest first. `next` goes into `before` for the next page; null on the last one. A request looks through
    events for a moment, and no longer: a page may be short, even empty, and not the last.
    """

    events: list[EventSummary]
    next: int | None


class InboxEvent(TypedDict):
    """A recorded event, whole, and what became of it. `seq` is its place, for paging."""

    seq: int
    key: str
    accepted_at: datetime
    cloudevent: dict[str, Any]
    outcomes: list[OutcomeShape]


class InboxPage(TypedDict):
    """Oldest first. `next` goes into `after` for the next page; null on the last one. A page may be
    short, even empty, and not the last: events of one source are looked for in parts.
    """

    events: list[InboxEvent]
    next: int | None


class EventDetail(EventName):
    """One event as it was accepted: `cloudevent` is its structured JSON form, data included."""

    occurred_at: datetime
    accepted_at: datetime
    cloudevent: dict[str, Any]


class EventFate(EventDetail):
    """One event and what became of it; `told` says it in one sentence. `others` have the same id in other sources.

    `replays` are the runs that were made of it again, for somebody who asked.
    """

    replays: list[ReplayOf]
    fate: str
    told: str
    outcomes: list[OutcomeShape]
    others: list[EventName]


class FailureShape(TypedDict):
    """Why a run failed; `stage` is the stage or gate that ended it, or empty."""

    stage: str
    reason: str


class RunBase(TypedDict):
    """What is told of every run. `ready_at` is when a waiting run goes on by itself."""

    id: int
    pipeline: str
    version: str
    trigger: str
    tags: list[str]
    state: str
    queued_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    ready_at: datetime | None
    duration_s: float | None
    failure: FailureShape | None
    waiting_gates: list[str]


class RunSummary(RunBase):
    """A run in a list. `error` is what the stage that failed it raised, in short."""

    event: EventName
    error: str | None
    waits_for: str | None


class RunsPart(TypedDict):
    """Runs, newest first. `next` goes into `before` for the next page; null on the last one."""

    runs: list[RunSummary]
    next: int | None


class RunsPage(RunsPart):
    """Newest first. `next` goes into `before` for the next page; null on the last one. Of a search by text or trigger a
    page may be short, even empty, and not the last: one request looks through runs for a moment, and no longer.

    `reviews_open` is how many failed runs wait for a person, whatever was asked for.
    """

    reviews_open: int


class ArtifactShape(TypedDict):
    """An artifact, by the digest of its bytes (BLAKE2b-256)."""

    digest: str
    codec: str
    size_bytes: int


class ErrorShape(TypedDict):
    """What a stage raised."""

    type: str
    message: str
    traceback: str


class ProgressShape(TypedDict):
    """How far an attempt said it was, from 0 to 1, and when."""

    fraction: float
    note: str
    at: datetime


class CostShape(TypedDict):
    """CPU time, also that of what was started in turn, and the most memory that the process held at once."""

    cpu_s: float
    memory_bytes: int | None


class AttemptShape(TypedDict):
    """One try of a stage, or of one `item` of a mapped one. `reused_run` is the run whose result was used again.

    `reason` tells why it was skipped or cut short, `void` that its result counts no longer: `stale`, or `forced` by
    somebody who wanted it made anew. `child_run` is the sub-run it waited for. `cost` is known of what ended by itself
    in a process of its own.
    """

    attempt: int
    item: int | None
    epoch: int
    version: str | None
    state: str
    reason: str | None
    void: str | None
    child_run: int | None
    started_at: datetime
    finished_at: datetime | None
    duration_s: float | None
    transient: bool | None
    retry_at: datetime | None
    error: ErrorShape | None
    output: ArtifactShape | None
    metrics: dict[str, float]
    reused_run: int | None
    progress: ProgressShape | None
    cost: CostShape | None


class StageShape(TypedDict):
    """A stage and its attempts. Its state is that of the last one, or `pending`; so are output and metrics.

    Of a mapped stage's items those under way or in trouble are among the attempts, and `items` counts all by state.
    `cost` is that of all its attempts and items: their CPU time together, the memory of the one that held most.
    """

    name: str
    state: str
    items: dict[str, int]
    attempts: list[AttemptShape]
    output: ArtifactShape | None
    metrics: dict[str, float]
    cost: CostShape | None


class CauseShape(TypedDict):
    """The run, and its stage, that caused a run."""

    run: int
    stage: str


class CausedShape(TypedDict):
    """A run that a stage of this one caused."""

    run: int
    pipeline: str
    stage: str
    state: str


class AbandonedShape(TypedDict):
    """Who gave a failed run up, and why."""

    by: str
    at: datetime
    reason: str


class ActionShape(TypedDict):
    """What a person did to a run: `resumed`, `amended`, `skipped`, `cancelled` or `abandoned`, and the particulars."""

    at: datetime
    action: str
    by: str
    detail: dict[str, Any]


class RunEventShape(EventName):
    """One of the events of a run; `place` 0 is the one it was started for."""

    place: int
    occurred_at: datetime
    accepted_at: datetime
    cloudevent: dict[str, Any]


class RunEventsPage(TypedDict):
    """In the order in which they were accepted. `next` goes into `after` for the next page; null on the last one."""

    run: int
    events: list[RunEventShape]
    next: int | None


class RunDetail(RunBase):
    """A run whole. `waits_for` says what holds it up, `next_command` what a person can do about it.

    `late_at` is when it was found to be late: it was `due_at`. `effects` are what a replay in shadow left. `event` is
    what it was started for, `events` how many share it.
    """

    replay: ReplayShape | None
    effects: list[EffectShape]

    caused_by: CauseShape | None
    caused: list[CausedShape]
    due_at: datetime | None
    late_at: datetime | None
    abandoned: AbandonedShape | None
    actions: list[ActionShape]

    epoch: int
    adoptions: int
    owner: int | None
    params: dict[str, Any]
    event: EventDetail
    events: int
    stages: list[StageShape]
    gates: list[GateShape]
    cancel_requested_at: datetime | None
    cancelled_by: str | None
    waits_for: str | None
    next_command: str | None


class RunState(TypedDict):
    """What became of a request to cancel or resume. `running` after a cancel: its stage was asked to stop."""

    run: int
    state: str


class PipelinesAnswer(TypedDict):
    """Pipelines this daemon has loaded, by name. `next` goes into `after` for the next page; null on the last one."""

    pipelines: list[dict[str, Any]]
    next: str | None


class Check(TypedDict):
    """One thing that was checked."""

    ok: bool
    note: str


class ReadyAnswer(TypedDict):
    """Whether traffic should come here. A trigger that is retrying or a sink that falls behind shows, and does not make
    the daemon unready.
    """

    ready: bool
    checks: dict[str, Check]
    triggers: dict[str, str]
    sinks: dict[str, str]
