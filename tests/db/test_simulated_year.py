"""Two daemons through a year of schedules in ten zones: their runs are those of Debian's cron, each once.

The year is 2024, in which all ten zones change their clocks twice (two of them around Ramadan and by half an hour, four
at midnight). The daemons' clocks differ, stall, jump and are set back; the daemons are restarted.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from service.catalogue import Catalogue
from service.db.reads import Reads
from service.inbox import NoHandOver, PostgresInbox
from stages.base import stage
from stages.pipeline import Pipeline
from tests import debian_cron
from tests.db.daemons import catalogue
from tests.db.writing import rows, writing
from triggers import Cron
from triggers.base import Surroundings
from triggers.cron import CronExpression
from triggers.event import Event
from triggers.schedule.clock import ScheduleClock

START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
ZONES = (
    *("Europe/Berlin", "America/New_York", "Asia/Beirut", "America/Havana", "America/Santiago", "America/Asuncion"),
    *("Australia/Lord_Howe", "Pacific/Chatham", "Africa/Casablanca", "Africa/Cairo"),
)
LINES = (
    "0 0 * * *",
    "30 1-3 * * fri,sun",
    "*/20 0-2 * * 7",
    "15,45 2 * 3,4,9-11 *",
    "@weekly",
    "0 */6 13 * mon",
    "59 23 28-31 * *",
)


@stage
async def nothing(event: Event) -> None:
    """Never run here."""


class SetClock:
    """A clock that stands where it is set. Sleepers wake when the test lets time pass."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._passed = asyncio.Condition()

    def now(self) -> datetime:
        """As set."""
        return self._now

    async def sleep(self, seconds: float) -> None:
        """Until time passes, however little."""
        async with self._passed:
            await self._passed.wait()

    async def set(self, now: datetime) -> None:
        """Set it, and let everybody look at it."""
        async with self._passed:
            self._now = now
            self._passed.notify_all()


class Keeper:
    """A daemon's clock, which can be restarted and whose time is its own."""

    def __init__(self, loaded: Catalogue, inbox: PostgresInbox, tasks: asyncio.TaskGroup) -> None:
        self._loaded, self.inbox, self._tasks = loaded, inbox, tasks
        self.clock = SetClock(START)
        self.skew = timedelta(0)
        self.start()

    def start(self) -> None:
        """Begin, by the stored positions."""
        around = Surroundings(inbox=self.inbox, clock=self.clock, root=Path())
        self.keeps = ScheduleClock(list(self._loaded.bindings(Cron)), around)
        self._running = self._tasks.create_task(self.keeps.run())

    async def restart(self) -> None:
        """End in the middle of whatever it does, and begin anew."""
        self.stop()
        await asyncio.wait([self._running])
        self.start()

    def stop(self) -> None:
        """End."""
        self._running.cancel()

    async def look(self, now: datetime) -> None:
        """Its clock says `now`, give or take its skew."""
        await self.clock.set(now + self.skew)


@asynccontextmanager
async def keeping(dsn: str, loaded: Catalogue, tasks: asyncio.TaskGroup) -> AsyncIterator[Keeper]:
    """A daemon with a writer of its own."""
    async with writing(dsn) as writer:
        reads = Reads(dsn, size=2)
        await reads.open()
        keeper = Keeper(loaded, PostgresInbox(writer, reads, loaded, NoHandOver()), tasks)
        yield keeper
        keeper.stop()
        await writer.drained()
        await reads.close()


def pipelines() -> Catalogue:
    """One pipeline a zone."""
    return catalogue(
        Pipeline(
            zone.replace("/", "-"),
            [nothing],
            on=[Cron(line, timezone=zone, missed="all", max_burst=10_000) for line in LINES],
        )
        for zone in ZONES
    )


@cache
def expected(zone: str) -> Mapping[str, list[datetime]]:
    return debian_cron.runs(LINES, ZoneInfo(zone), START, END)


@pytest.mark.parametrize("zone", ZONES)
def test_the_year_holds_what_it_is_to_hold_and_due_times_are_debian_s(zone: str) -> None:
    offsets = {offset for _, offset in _offsets(zone)}
    assert len(offsets) == 2
    for line in LINES:
        due = list(CronExpression.parse(line, timezone=zone).between(START, END))
        assert due == expected(zone)[line], line


def _offsets(zone: str) -> list[tuple[int, timedelta | None]]:
    days = ((START + timedelta(days=day)).astimezone(ZoneInfo(zone)) for day in range(366))
    return [(number, day.utcoffset()) for number, day in enumerate(days)]


@pytest.mark.parametrize("seed", [2024])
async def test_two_daemons_through_a_year_run_what_cron_runs_each_once(database: str, seed: int) -> None:
    chance, loaded = random.Random(seed), pipelines()
    async with asyncio.TaskGroup() as tasks, AsyncExitStack() as stack:
        one = await stack.enter_async_context(keeping(database, loaded, tasks))
        await _positions(database, len(ZONES) * len(LINES))
        other = await stack.enter_async_context(keeping(database, loaded, tasks))
        now = START
        while now < END:
            now = min(END, now + timedelta(minutes=chance.choice((7, 45, 300, 1500, 2900, 4400))))
            for keeper in (one, other):
                await _disturb(keeper, now, chance)
            await asyncio.sleep(0.002)
        await _finish(database, (one, other))
        firsts = [sum(keeper.inbox.accepted.values()) for keeper in (one, other)]
    assert min(firsts) > 1000, "one daemon told nearly everything"
    found = await rows(
        database, "select r.pipeline, r.trigger, e.occurred_at from runs r join events e on e.key = r.event_key"
    )
    told = Counter((row["pipeline"], row["trigger"], row["occurred_at"]) for row in found)
    assert {what: count for what, count in told.items() if count > 1} == {}
    assert told.keys() == {
        (zone.replace("/", "-"), Cron(line, timezone=zone).name, due)
        for zone in ZONES
        for line, instants in expected(zone).items()
        for due in instants
    }
    assert await rows(database, "select * from fates") == []


async def _disturb(keeper: Keeper, now: datetime, chance: random.Random) -> None:
    """Let a daemon see the time; or stall, or see another time, or begin anew."""
    what = chance.random()
    if what < 0.3 and now < END:
        return
    if what < 0.4:
        keeper.skew = timedelta(seconds=chance.uniform(-900, 0))
    if what < 0.45:
        await keeper.look(now - timedelta(hours=chance.uniform(0, 5)))
    await keeper.look(now)
    if what > 0.95:
        await asyncio.sleep(chance.uniform(0, 0.01))
        await keeper.restart()


async def _positions(dsn: str, count: int) -> None:
    async with asyncio.timeout(20):
        while len(await rows(dsn, "select from positions")) < count:
            await asyncio.sleep(0.02)


async def _finish(dsn: str, keepers: tuple[Keeper, Keeper]) -> None:
    """Wait until both have told everything of the year."""
    total = sum(len(instants) for zone in ZONES for instants in expected(zone).values())
    async with asyncio.timeout(60):
        while True:
            for keeper in keepers:
                keeper.skew = timedelta(0)
                await keeper.look(END)
            [row] = await rows(dsn, "select count(*) as runs from runs")
            if row["runs"] >= total and all(_told_all(keeper) for keeper in keepers):
                return
            await asyncio.sleep(0.05)


def _told_all(keeper: Keeper) -> bool:
    return all(one.next_due_at is not None and one.next_due_at > END for one in keeper.keeps.statuses())
