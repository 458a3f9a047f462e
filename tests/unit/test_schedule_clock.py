"""The clock that keeps schedules. Time is the test's own, except where APScheduler is to ring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from triggers.base import (
    Arrival,
    Binding,
    Clock,
    Fate,
    ListenerState,
    Outcome,
    Position,
    Receipt,
    RunId,
    Surroundings,
)
from triggers.errors import InboxBusy
from triggers.event import EventKey, utc_now
from triggers.schedule import Cron, Every, Schedule
from triggers.schedule.alarm import Alarm
from triggers.schedule.clock import RECHECK_S, ScheduleClock
from triggers.schedule.jitter import rung_at

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
FAST = timedelta(milliseconds=20)
MINUTES = Every("1m", missed="all", name="minutes")


class RecordingInbox:
    """An inbox over memory: the first of an event's arrivals decides, positions are upserted, all or nothing."""

    def __init__(self) -> None:
        self.stored: dict[EventKey, Receipt] = {}
        self.kept: dict[tuple[str, str], str] = {}
        self.busy = 0
        self.repeats = 0
        self.changed = asyncio.Condition()

    async def accept(self, arrivals: Sequence[Arrival], positions: Sequence[Position] = ()) -> Sequence[Receipt]:
        async with self.changed:
            self.changed.notify_all()
            if self.busy:
                self.busy -= 1
                raise InboxBusy("postgres is away", retry_after_s=2)
            receipts = [self._store(arrival) for arrival in arrivals]
            self.kept |= {(position.scope, position.key): position.value for position in positions}
            return receipts

    def _store(self, arrival: Arrival) -> Receipt:
        known = self.stored.get(arrival.event.key)
        if known is not None:
            self.repeats += 1
            return Receipt(known.event, False, known.outcomes)
        run = RunId(len(self.stored) + 1)
        outcomes = [
            Outcome(o.pipeline, o.trigger, o.fate, o.reason, run if o.fate is Fate.RAN else None)
            for o in arrival.offers
        ]
        return self.stored.setdefault(arrival.event.key, Receipt(arrival.event, True, outcomes))

    async def positions(self, scope: str) -> Mapping[str, str]:
        async with self.changed:
            self.changed.notify_all()
            if self.busy:
                self.busy -= 1
                raise InboxBusy("postgres is away", retry_after_s=2)
            return {key: value for (of, key), value in self.kept.items() if of == scope}

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(5), self.changed:
            await self.changed.wait_for(reached)

    def receipts(self) -> list[Receipt]:
        return sorted(self.stored.values(), key=lambda receipt: receipt.event.time)

    def fates(self) -> list[tuple[str, Fate]]:
        found = [(receipt.event.id, receipt.outcomes[0].fate) for receipt in self.stored.values()]
        return sorted((event_id.removeprefix("2026-01-01T"), fate) for event_id, fate in found)

    def ran(self) -> list[str]:
        return [event_id for event_id, fate in self.fates() if fate is Fate.RAN]


class ManualClock:
    """Time that passes when the test says so. Sleepers wake when it has passed them."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._passed_s = 0.0

    def now(self) -> datetime:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._passed_s + seconds, woken))
        await woken

    def set(self, now: datetime) -> None:
        """Set the wall clock; no time passes."""
        self._now = now

    def pass_time(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._passed_s += seconds
        due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self._passed_s]
        for sleeper in due:
            self._sleepers.remove(sleeper)
            if not sleeper[1].done():
                sleeper[1].set_result(None)


class WallClock:
    def now(self) -> datetime:
        return utc_now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def binding(trigger: Schedule) -> Binding:
    return Binding("flights", trigger)


@asynccontextmanager
async def keeping(*triggers: Schedule, inbox: RecordingInbox, clock: Clock) -> AsyncIterator[ScheduleClock]:
    """A running clock, ready when its positions are read."""
    kept = ScheduleClock([binding(t) for t in triggers], Surroundings(inbox, clock, Path()))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(kept.run())
        await inbox.until(lambda: all(("schedule", f"flights/{t.name}") in inbox.kept for t in triggers))
        try:
            yield kept
        finally:
            running.cancel()


async def turn(clock: ManualClock, seconds: float) -> None:
    """Let time pass, step by step, so that every recheck happens in it."""
    for _ in range(int(seconds // RECHECK_S)):
        clock.pass_time(RECHECK_S)
        for _ in range(5):
            await asyncio.sleep(0)


def stored_at(inbox: RecordingInbox, trigger: Schedule, instant: datetime) -> None:
    inbox.kept["schedule", f"flights/{trigger.name}"] = instant.isoformat().replace("+00:00", "Z")


async def test_a_new_schedule_begins_now_and_says_so_at_once() -> None:
    inbox, clock = RecordingInbox(), ManualClock(NOON + timedelta(seconds=30))
    async with keeping(MINUTES, inbox=inbox, clock=clock) as kept:
        assert inbox.kept == {("schedule", "flights/minutes"): "2026-01-01T12:00:30Z"}
        assert inbox.stored == {}
        [status] = kept.statuses()
        assert (status.kind, status.state) == ("every", ListenerState.LISTENING)
        assert status.next_due_at == NOON + timedelta(minutes=1)
        assert status.last_seen_at is None
    assert kept.statuses()[0].state is ListenerState.STOPPED


async def test_every_tick_starts_a_run_and_moves_the_position() -> None:
    inbox, clock = RecordingInbox(), ManualClock(NOON)
    async with keeping(MINUTES, Cron("*/2 * * * *", name="even"), inbox=inbox, clock=clock) as kept:
        await turn(clock, 240)
        await inbox.until(lambda: len(inbox.stored) == 6)
        assert inbox.ran() == ["12:01:00Z", *["12:02:00Z"] * 2, "12:03:00Z", *["12:04:00Z"] * 2]
        assert inbox.kept["schedule", "flights/minutes"] == "2026-01-01T12:04:00Z"
        assert [status.last_seen_at for status in kept.statuses()] == [NOON + timedelta(minutes=4)] * 2
        assert kept.statuses()[0].next_due_at == NOON + timedelta(minutes=5)


async def test_any_number_of_daemons_make_one_event_of_a_tick() -> None:
    inbox, clock = RecordingInbox(), ManualClock(NOON)
    async with keeping(MINUTES, inbox=inbox, clock=clock), keeping(MINUTES, inbox=inbox, clock=clock):
        await turn(clock, 120)
        await inbox.until(lambda: inbox.repeats == 2)
    assert inbox.ran() == ["12:01:00Z", "12:02:00Z"]


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        ("all", {"09:30:00Z": Fate.RAN, "10:30:00Z": Fate.RAN, "11:30:00Z": Fate.RAN}),
        ("latest", {"09:30:00Z": Fate.LATE, "10:30:00Z": Fate.LATE, "11:30:00Z": Fate.RAN}),
        ("none", {"09:30:00Z": Fate.LATE, "10:30:00Z": Fate.LATE, "11:30:00Z": Fate.LATE}),
    ],
)
async def test_ticks_missed_in_downtime_are_treated_by_policy_and_all_recorded(
    missed: Any, expected: dict[str, Fate]
) -> None:
    inbox, trigger = RecordingInbox(), Cron("30 * * * *", missed=missed)
    stored_at(inbox, trigger, NOON - timedelta(hours=3))
    async with keeping(trigger, inbox=inbox, clock=ManualClock(NOON)):
        await inbox.until(lambda: len(inbox.stored) == 3)
    assert dict(inbox.fates()) == expected
    assert all(r.outcomes[0].reason.startswith("missed: ") == (r.outcomes[0].run_id is None) for r in inbox.receipts())
    assert inbox.kept["schedule", f"flights/{trigger.name}"] == "2026-01-01T11:30:00Z"


async def test_years_of_downtime_are_caught_up_within_bounds() -> None:
    inbox, trigger = RecordingInbox(), Cron("* * * * *", missed="all", max_burst=10)
    stored_at(inbox, trigger, NOON - timedelta(days=3650))
    async with keeping(trigger, inbox=inbox, clock=ManualClock(NOON)):
        await inbox.until(lambda: len(inbox.stored) == 1011)
    assert len(inbox.ran()) == 10
    assert "stands for every tick due from 2016-01-04T12:01:00" in inbox.receipts()[0].outcomes[0].reason


async def test_a_restart_within_a_minute_misses_nothing_under_any_policy() -> None:
    inbox, trigger = RecordingInbox(), Cron("0 12 * * *", missed="none")
    stored_at(inbox, trigger, NOON - timedelta(days=1))
    async with keeping(trigger, inbox=inbox, clock=ManualClock(NOON + timedelta(seconds=50))):
        await inbox.until(lambda: len(inbox.stored) == 1)
    assert inbox.ran() == ["12:00:00Z"]


async def test_a_busy_inbox_is_asked_until_it_takes_every_tick_that_came_due_meanwhile() -> None:
    inbox, clock, trigger = RecordingInbox(), ManualClock(NOON), Every("1m", missed="none", name="strict")
    async with keeping(trigger, inbox=inbox, clock=clock) as kept:
        inbox.busy = 6
        await turn(clock, 60)
        await inbox.until(lambda: inbox.busy < 6)
        [status] = kept.statuses()
        assert (status.state, status.note) == (ListenerState.RETRYING, "postgres is away")
        await turn(clock, 540)
        await inbox.until(lambda: len(inbox.stored) == 10)
        assert status.state is ListenerState.LISTENING
    assert inbox.ran() == [f"12:{minute:02}:00Z" for minute in range(1, 11)]


async def test_with_jitter_a_tick_comes_later_under_its_own_due_time_also_after_a_restart() -> None:
    inbox, trigger = RecordingInbox(), Cron("0 * * * *", name="spread", jitter="30m", missed="none")
    ring = rung_at(binding(trigger), NOON + timedelta(hours=1))
    delay_s = (ring - NOON).total_seconds() - 3600
    assert delay_s > 120
    clock = ManualClock(NOON)
    async with keeping(trigger, inbox=inbox, clock=clock) as kept:
        await turn(clock, 3600 + delay_s - 60)
        assert inbox.stored == {}
        assert kept.statuses()[0].next_due_at == NOON + timedelta(hours=1)
    async with keeping(trigger, inbox=inbox, clock=clock):
        await turn(clock, 30)
        assert inbox.stored == {}
        await turn(clock, 60)
        await inbox.until(lambda: len(inbox.stored) == 1)
    assert inbox.ran() == ["13:00:00Z"]


async def test_a_start_without_postgres_waits_for_it() -> None:
    inbox, clock = RecordingInbox(), ManualClock(NOON)
    inbox.busy = 3
    async with asyncio.TaskGroup() as group:
        running = group.create_task(ScheduleClock([binding(MINUTES)], Surroundings(inbox, clock, Path())).run())
        await turn(clock, 300)
        await inbox.until(lambda: len(inbox.stored) >= 2)
        running.cancel()
    assert inbox.busy == 0


async def test_a_clock_set_forward_makes_missed_ticks() -> None:
    inbox, clock, trigger = RecordingInbox(), ManualClock(NOON), Cron("0 * * * *", name="hourly")
    async with keeping(trigger, inbox=inbox, clock=clock):
        clock.set(NOON + timedelta(hours=3, minutes=30))
        await turn(clock, RECHECK_S)
        await inbox.until(lambda: len(inbox.stored) == 3)
    assert inbox.fates() == [("13:00:00Z", Fate.LATE), ("14:00:00Z", Fate.LATE), ("15:00:00Z", Fate.RAN)]


async def test_a_clock_set_back_neither_silences_a_schedule_nor_doubles_its_ticks() -> None:
    inbox, clock = RecordingInbox(), ManualClock(NOON + timedelta(days=365))
    async with keeping(MINUTES, inbox=inbox, clock=clock) as kept:
        await turn(clock, 60)
        await inbox.until(lambda: len(inbox.stored) == 1)
        clock.set(NOON)
        await turn(clock, 120)
        await inbox.until(lambda: len(inbox.stored) == 3)
        clock.set(NOON + timedelta(seconds=61))
        await turn(clock, 60)
        await inbox.until(lambda: inbox.repeats == 1)
        assert kept.statuses()[0].next_due_at == NOON + timedelta(minutes=3)
    assert inbox.ran()[:2] == ["12:01:00Z", "12:02:00Z"]


async def test_a_position_ahead_of_the_clock_does_not_silence_a_schedule() -> None:
    inbox, clock = RecordingInbox(), ManualClock(NOON)
    stored_at(inbox, MINUTES, NOON + timedelta(days=365))
    async with keeping(MINUTES, inbox=inbox, clock=clock):
        await turn(clock, 60)
        await inbox.until(lambda: len(inbox.stored) == 1)
    assert inbox.ran() == ["12:01:00Z"]


async def test_what_the_trigger_does_not_want_is_ignored_for_that_reason_even_when_late() -> None:
    inbox = RecordingInbox()
    choosy = Every("1h", name="choosy", missed="none", where={"data.due_at": {"suffix": "T11:00:00Z"}})
    off = Every("1h", name="off", enabled=False)
    for trigger in (choosy, off):
        stored_at(inbox, trigger, NOON - timedelta(hours=3))
    async with keeping(choosy, off, inbox=inbox, clock=ManualClock(NOON - timedelta(minutes=10))):
        await inbox.until(lambda: len(inbox.stored) == 4)
    told = [(r.outcomes[0].trigger, r.event.time.hour, r.outcomes[0].fate) for r in inbox.receipts()]
    assert sorted(told) == [
        ("choosy", 10, Fate.IGNORED),
        ("choosy", 11, Fate.LATE),
        ("off", 10, Fate.IGNORED),
        ("off", 11, Fate.IGNORED),
    ]


async def test_apscheduler_rings_for_real_and_no_tick_is_lost_between_rings() -> None:
    class Fast(Every):
        def next_after(self, instant: datetime) -> datetime | None:
            return NOON + ((instant - NOON) // FAST + 1) * FAST

    inbox = RecordingInbox()
    async with keeping(Fast("1s", name="fast"), inbox=inbox, clock=WallClock()):
        await inbox.until(lambda: len(inbox.stored) >= 5)
    due = sorted(receipt.event.time for receipt in inbox.receipts())
    assert {later - sooner for sooner, later in pairwise(due)} == {FAST}


async def test_the_alarm_rings_once_for_what_was_set_last_also_where_that_has_passed() -> None:
    rings: list[datetime] = []
    rung = asyncio.Event()

    def ring() -> None:
        rings.append(utc_now())
        rung.set()

    with Alarm(ring) as alarm:
        now = utc_now()
        alarm.ring_at(now + timedelta(days=1), now)
        alarm.ring_at(now - timedelta(days=1), now)
        async with asyncio.timeout(5):
            await rung.wait()
        rung.clear()
        now = utc_now()
        soon = now + FAST
        alarm.ring_at(soon, now)
        alarm.ring_at(soon, now)
        async with asyncio.timeout(5):
            await rung.wait()
        assert rings[1] >= soon
        alarm.ring_at(now + timedelta(days=1), now)
        alarm.ring_at(None, now)
        alarm.wake()
        await asyncio.sleep(0)
    assert len(rings) == 2
