"""Schedules: when they are due, and what event each tick is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from triggers.base import Binding
from triggers.errors import InvalidTrigger
from triggers.schedule import Cron, Every, Schedule, due_times, newest_due, tick_event

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def binding(trigger: Schedule) -> Binding:
    return Binding("flights", trigger)


def test_a_cron_trigger_is_due_in_its_time_zone() -> None:
    due = due_times(Cron("0 2 * * *", timezone="Europe/Berlin"), NOON, NOON + timedelta(days=2))
    assert [str(instant) for instant in due] == ["2026-01-02 01:00:00+00:00", "2026-01-03 01:00:00+00:00"]


@pytest.mark.parametrize(
    ("interval", "seconds", "name"),
    [
        ("15m", 900, "every:15m"),
        (900, 900, "every:15m"),
        ("1h30m", 5400, "every:1h30m"),
        ("2d", 172_800, "every:2d"),
        ("1w1s", 604_801, "every:1w1s"),
        (1.5, 1.5, "every:1.5s"),
    ],
)
def test_an_interval_is_due_at_multiples_since_the_epoch(interval: str | float, seconds: float, name: str) -> None:
    trigger = Every(interval)
    first = trigger.next_after(NOON)
    assert first is not None
    assert first > NOON
    assert first.timestamp() % seconds == 0
    assert trigger.next_after(first) == first + timedelta(seconds=seconds)
    assert trigger.name == name


def test_an_anchor_moves_an_interval_also_before_the_anchor_and_over_clock_changes() -> None:
    berlin = Cron("@daily", timezone="Europe/Berlin").zone
    trigger = Every("1d", anchor=datetime(2026, 3, 28, 6, tzinfo=berlin))
    assert trigger.name == "every:1d from 2026-03-28T05:00:00Z"
    assert trigger.next_after(NOON) == datetime(2026, 1, 2, 5, tzinfo=UTC)
    assert trigger.next_after(datetime(2026, 6, 1, tzinfo=UTC)) == datetime(2026, 6, 1, 5, tzinfo=UTC)


def test_the_end_of_time_is_none_rather_than_an_error() -> None:
    assert Every("366d").next_after(datetime.max.replace(tzinfo=UTC)) is None
    assert list(due_times(Every("366d"), datetime(9990, 1, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC))) != []


@pytest.mark.parametrize("limit", [1, 7, 10_000])
@pytest.mark.parametrize("trigger", [Every("10s"), Cron("* 3 * * *"), Cron("0 0 1 1 *")])
def test_the_newest_due_times_are_the_end_of_all_of_them(trigger: Schedule, limit: int) -> None:
    after = NOON - timedelta(days=3)
    assert newest_due(trigger, after, NOON, limit) == list(due_times(trigger, after, NOON))[-limit:]


def test_the_newest_due_times_of_a_long_window_do_not_cost_the_window() -> None:
    calls = 0

    class Counted(Every):
        def next_after(self, instant: datetime) -> datetime | None:
            nonlocal calls
            calls += 1
            return super().next_after(instant)

    found = newest_due(Counted("1s"), NOON - timedelta(days=3650), NOON, 1000)
    assert found == [NOON - timedelta(seconds=second) for second in range(999, -1, -1)]
    assert calls < 10_000


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: Cron("0 25 * * *"), "hour '25'"),
        (lambda: Cron("@daily", timezone="Europe/Berlim"), "Did you mean 'Europe/Berlin'"),
        (lambda: Cron("@daily", missed="last"), "missed='last'"),
        (lambda: Every("15"), "'15' is not an interval"),
        (lambda: Every("1m1h"), "is not an interval"),
        (lambda: Every(""), "out of range"),
        (lambda: Every(0.5), "between a second and 366 days"),
        (lambda: Every(float("nan")), "out of range"),
        (lambda: Every("1h", anchor=datetime(2026, 1, 1)), "no time zone"),  # noqa: DTZ001
    ],
)
def test_a_wrong_schedule_is_refused_when_it_is_declared(declare: Callable[[], Schedule], said: str) -> None:
    with pytest.raises(InvalidTrigger) as refused:
        declare()
    assert said in str(refused.value)


def test_schedules_are_named_by_what_they_are() -> None:
    assert Cron(" 0  2 * * *").name == "cron:0 2 * * *"
    assert Cron("0 2 * * *", timezone="Asia/Tokyo").name == "cron:0 2 * * * Asia/Tokyo"
    assert Cron("@daily", name="nightly").name == "nightly"
    assert Cron("@daily") == Cron("@daily") != Cron("@hourly")


def test_a_tick_is_identified_by_its_binding_and_the_instant_it_was_due_in_utc() -> None:
    event = tick_event(binding(Cron("0 2 * * *")), datetime(2026, 1, 1, 2, tzinfo=UTC))
    assert event.source == "tidemill:schedule/flights/cron%3A0%202%20%2A%20%2A%20%2A"
    assert event.id == "2026-01-01T02:00:00Z"
    assert event.type == "dev.tidemill.schedule.tick"
    assert event.time == datetime(2026, 1, 1, 2, tzinfo=UTC)
    assert event.data == {"due_at": "2026-01-01T02:00:00Z", "schedule": "cron:0 2 * * *"}
    zoned = datetime(2026, 1, 1, 2, tzinfo=UTC).astimezone(Cron("@daily", timezone="Asia/Tokyo").zone)
    assert tick_event(binding(Cron("0 2 * * *")), zoned).key == event.key
