"""A pipeline on a schedule, and what its runs saw, for tests of backfills."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.app import Daemon
from service.backfill import Stretch, described, find_schedule
from service.db.backfills import PutBackfill
from service.settings import Role, Settings
from stages.base import stage
from stages.errors import Permanent
from stages.pipeline import Pipeline
from tests.db.daemons import settings
from tests.db.writing import rows
from triggers.event import Event
from triggers.schedule import Schedule

DAY = datetime(2026, 1, 1, tzinfo=UTC)
STEADY_S = 60.0


@dataclass(slots=True)
class Seen:
    """What the runs of this process saw: their events, and how many were under way at once."""

    events: list[Event] = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    fails: set[str] = field(default_factory=set)
    slow: bool = False

    def due(self) -> list[str]:
        """The due times of the runs, as they began."""
        return [event.data["due_at"] for event in self.events]


def daily(seen: Seen, *triggers: Schedule, name: str = "daily") -> Pipeline:
    """A pipeline of one stage that notes its event."""

    @stage(reuse="never")
    async def note(event: Event) -> str:
        seen.events.append(event)
        seen.under_way += 1
        seen.most = max(seen.most, seen.under_way)
        try:
            if seen.slow:
                await asyncio.sleep(0.05)
            if event.data["due_at"] in seen.fails:
                raise Permanent("as asked")
        finally:
            seen.under_way -= 1
        return event.id

    return Pipeline(name, [note], on=list(triggers))


def all_roles(dsn: str, folder: Path, **executor: Any) -> Settings:
    """Settings of a daemon that listens and works, without HTTP."""
    return settings(dsn, folder, Role.TRIGGERS, Role.EXECUTOR, **executor)


async def ask(
    one: Daemon,
    trigger: str,
    since: datetime,
    until: datetime,
    *,
    max_parallel: int = 1,
    newest_first: bool = False,
    again: bool = False,
    stop_on_failure: bool = False,
    request: str = "test",
) -> int:
    """Begin a backfill, as the API does."""
    binding = find_schedule(one.catalogue, trigger)
    stretch = Stretch(from_at=since, to_at=until, newest_first=newest_first)
    arguments = (
        *(request, binding.pipeline, binding.trigger.name, described(binding), since, until, newest_first, again),
        *(stop_on_failure, max_parallel, -100, "kim", stretch.count(binding.trigger)),
    )
    [(backfill, _)] = await one.writer.submit(PutBackfill(arguments))
    return int(backfill)


async def over(dsn: str, backfill: int, *states: str) -> dict[str, Any]:
    """Wait until a backfill is over (or in one of these states), and return its row."""
    wanted = states or ("succeeded", "failed", "stopped")
    async with asyncio.timeout(STEADY_S):
        while True:
            [row] = await rows(dsn, "select * from backfills where id = $1", backfill)
            if row["state"] in wanted:
                return dict(row)
            await asyncio.sleep(0.05)


async def ran(dsn: str) -> Sequence[tuple[str, str]]:
    """Event id and state of every run, by due time."""
    query = "select e.id, r.state from runs r join events e on e.key = r.event_key order by e.occurred_at, r.id"
    return [(row["id"], row["state"]) for row in await rows(dsn, query)]


async def watch_under_way(dsn: str) -> None:
    """Let the database note, with each run that is started, how many are unfinished in that transaction's eyes."""
    for statement in (
        "create table under_way_seen (runs bigint not null)",
        "create function note_under_way() returns trigger language plpgsql as $$ begin"
        " insert into under_way_seen select count(*) from runs where finished_at is null; return null; end $$",
        "create trigger note_under_way after insert on runs for each statement execute function note_under_way()",
    ):
        await rows(dsn, statement)


async def most_under_way(dsn: str) -> int:
    """The most that was noted."""
    [row] = await rows(dsn, "select max(runs) as most from under_way_seen")
    return int(row["most"])
