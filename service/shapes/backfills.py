"""What the API answers about backfills and the ticks of schedules."""

from __future__ import annotations

from datetime import datetime

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict


class BackfillShape(TypedDict):
    """A backfill. `looked_at` ticks of `total` were gone over: `known` of them had run already, `refused` could not.

    `state`: running, succeeded, failed (a tick went wrong, or it was halted) or stopped. `halted` says why no more
    ticks are started.
    """

    id: int
    trigger: str
    schedule: str
    state: str
    halted: str | None
    from_at: datetime
    to_at: datetime
    order: str
    max_parallel: int
    priority: int
    again: bool
    stop_on_failure: bool
    asked_by: str
    asked_at: datetime
    finished_at: datetime | None
    stopped_by: str | None
    total: int
    looked_at: int
    known: int
    refused: int
    under_way: int
    succeeded: int
    failed: int
    cancelled: int
    reached_at: datetime | None


class BackfillTick(TypedDict):
    """A tick of a backfill and what became of it: its run's state, or `refused` and why."""

    due_at: datetime
    state: str
    run: int | None
    reason: str


class BackfillDetail(BackfillShape):
    """A backfill with the ticks under way, those that went wrong, and the latest others: 50 at most."""

    ticks: list[BackfillTick]


class BackfillsPage(TypedDict):
    """Backfills, newest first."""

    backfills: list[BackfillShape]
    next: int | None


class TickShape(TypedDict):
    """An instant at which a schedule is due, and what the tick led to; nothing yet where `fate` is null. `before`: that
    was when this installation did not know the schedule, so that nothing is missing.
    """

    due_at: datetime
    local: str
    fate: str | None
    reason: str
    run: int | None
    before: bool


class BackfillPlan(TypedDict):
    """What a backfill would do: `total` ticks, of which `known` have run already; the first of them, 100 at most.

    `would_run` is how many would be started: with `again` all.
    """

    trigger: str
    schedule: str
    timezone: str
    now: datetime
    from_at: datetime
    to_at: datetime
    total: int
    known: int
    would_run: int
    ticks: list[TickShape]


class ScheduleAnswer(TypedDict):
    """A schedule around `now`: the latest ticks, oldest first, and the coming ones."""

    trigger: str
    schedule: str
    timezone: str
    enabled: bool
    now: datetime
    past: list[TickShape]
    coming: list[TickShape]
