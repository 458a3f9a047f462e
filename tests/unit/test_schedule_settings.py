"""What a schedule may be given besides its expression: bounds, several expressions, midnights, jitter."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers import Cron, Every, QuartzCron
from triggers.base import Binding
from triggers.errors import InvalidTrigger
from triggers.schedule import Schedule, due_times, tick_event
from triggers.schedule.jitter import judged, rung_at

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def due(trigger: Schedule, after: datetime, until: datetime) -> list[str]:
    return [f"{one:%d %H:%M:%S}" for one in due_times(trigger, after, until)]


def test_a_schedule_is_due_from_its_start_to_its_end_both_included() -> None:
    trigger = Every("1h", start=NOON, end=NOON + timedelta(hours=2))
    assert due(trigger, NOON - DAY, NOON + DAY) == ["01 12:00:00", "01 13:00:00", "01 14:00:00"]
    assert trigger.next_after(NOON + timedelta(hours=2)) is None
    berlin = Cron("0 2 * * *", start=datetime(2026, 1, 3, 3, tzinfo=ZoneInfo("Europe/Berlin")))
    assert berlin.start == datetime(2026, 1, 3, 2, tzinfo=UTC)
    assert berlin.next_after(NOON) == datetime(2026, 1, 3, 2, tzinfo=UTC)


def test_several_expressions_are_due_whenever_one_is_and_once_where_both_are() -> None:
    trigger = Cron(["0 9 * * mon-fri", "0 9,12 * * fri,sat"], timezone="UTC")
    assert due(trigger, NOON, NOON + 3 * DAY) == ["02 09:00:00", "02 12:00:00", "03 09:00:00", "03 12:00:00"]
    assert trigger.name == "cron:0 9 * * mon-fri, 0 9,12 * * fri,sat"


def test_the_extended_syntax_is_marked() -> None:
    assert Cron("30 0 12 L * ?", extended=True).next_after(NOON) == datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)
    quartz = QuartzCron("0 0 12 ? * 2#1")
    assert quartz.next_after(NOON) == datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert quartz.name == "quartz:0 0 12 ? * 2#1"
    assert quartz.kind == "cron"


def test_an_interval_may_count_from_each_local_midnight() -> None:
    trigger = Every("7h", anchor="midnight", timezone="Europe/Berlin")
    local = [one.astimezone(trigger.zone) for one in due_times(trigger, NOON, NOON + 2 * DAY)]
    assert [f"{one:%d %H}" for one in local] == ["01 14", "01 21", "02 00", "02 07", "02 14", "02 21", "03 00", "03 07"]
    assert trigger.name == "every:7h from midnight Europe/Berlin"
    spring = datetime(2026, 3, 28, 22, tzinfo=UTC)
    assert due(Every("1h", anchor="midnight", timezone="Europe/Berlin"), spring, spring + timedelta(hours=3)) == [
        "28 23:00:00",
        "29 00:00:00",
        "29 01:00:00",
    ]


@pytest.mark.parametrize("zone", ["Asia/Beirut", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe", "UTC"])
def test_counting_from_midnight_begins_every_day_with_its_first_instant(zone: str) -> None:
    trigger = Every("8h", anchor="midnight", timezone=zone)
    start = datetime(2011, 12, 1, tzinfo=UTC)
    by_day: dict[date, list[datetime]] = {}
    for one in due_times(trigger, start, start + 500 * DAY):
        by_day.setdefault(one.astimezone(trigger.zone).date(), []).append(one)
    assert len(by_day) >= 500  # Apia had no 30 December 2011
    whole = sorted(by_day)[1:-1]
    assert {len(by_day[day]) for day in whole} <= {3, 4}  # a fourth at 23:00, on a day of 25 hours
    minute = timedelta(minutes=1)
    assert all((by_day[day][0] - minute).astimezone(trigger.zone).date() < day for day in whole)


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: Cron("@daily", start=datetime(2026, 1, 1)), "no time zone"),  # noqa: DTZ001
        (lambda: Cron("@daily", end="2026-01-01"), "is no datetime"),  # type: ignore[arg-type]
        (lambda: Cron("@daily", start=NOON, end=NOON - DAY), "before start"),
        (lambda: Cron([]), "no expression"),
        (lambda: Cron(["@daily", "0 25 * * *"]), "hour '25'"),
        (lambda: Cron("0 0 L * *"), "extended=True"),
        (lambda: Every("2d", anchor="midnight"), "no shorter than a day"),
        (lambda: Every("1h", anchor="noon"), "is no datetime"),  # type: ignore[arg-type]
        (lambda: Every("1h", timezone="Europe/Berlim"), "Did you mean 'Europe/Berlin'"),
        (lambda: Every("5m", jitter="5m"), "not shorter than the interval"),
        (lambda: Cron("@daily", jitter="25h"), "a day at most"),
        (lambda: Cron("@daily", jitter=-1), "jitter"),
        (lambda: Cron("@daily", jitter="soon"), "jitter"),
    ],
)
def test_a_wrong_setting_is_refused_when_it_is_declared(declare: Callable[[], Schedule], said: str) -> None:
    with pytest.raises(InvalidTrigger) as refused:
        declare()
    assert said in str(refused.value)


def spread(name: str = "spread", **settings: object) -> Binding:
    return Binding("flights", Cron("*/10 * * * *", jitter="5m", name=name, **settings))  # type: ignore[arg-type]


def test_jitter_moves_when_a_tick_is_handed_on_by_its_id_alone_and_leaves_what_it_is() -> None:
    rings = [(one, rung_at(spread(), one)) for one in due_times(spread().trigger, NOON, NOON + 10 * DAY)]
    delays = [(ring - one).total_seconds() for one, ring in rings]
    assert [ring for _, ring in rings] == [rung_at(spread(), one) for one, _ in rings]
    assert all(0 <= delay < 300 for delay in delays)
    assert max(delays) > 280
    assert 130 < sum(delays) / len(delays) < 170
    assert [rung_at(spread("other"), one) for one, _ in rings] != [ring for _, ring in rings]
    assert tick_event(spread(), rings[0][0]).time == rings[0][0]


def test_without_jitter_a_tick_is_handed_on_when_it_is_due() -> None:
    assert rung_at(Binding("flights", Cron("@daily")), NOON) == NOON


@given(st.integers(0, 6 * 3600), st.integers(0, 6 * 3600))
def test_with_jitter_no_look_misses_or_repeats_a_tick_and_order_is_kept(first: int, second: int) -> None:
    binding = Binding("flights", Cron("*/3 * * * *", jitter="20m", missed="all", max_burst=1000, name="dense"))
    seen: list[datetime] = []
    until = NOON
    for passed in sorted([first, second, 8 * 3600]):
        ticks, until = judged(binding, until, NOON + timedelta(seconds=passed))
        assert all(tick.late == "" for tick in ticks)
        seen += [tick.due_at for tick in ticks]
    expected = list(due_times(binding.trigger, NOON, NOON + timedelta(hours=8)))
    assert seen == expected[: len(seen)]
    assert len(seen) > len(expected) - 8
    assert all(rung_at(binding, one) <= NOON + timedelta(hours=8) for one in seen)


def test_a_tick_that_waits_for_its_jitter_is_not_late() -> None:
    binding = Binding("flights", Cron("0 * * * *", jitter="50m", missed="none", name="slow"))
    due_at = NOON + timedelta(hours=1)
    ring = rung_at(binding, due_at)
    assert judged(binding, NOON, ring - timedelta(seconds=1))[0] == []
    [tick] = judged(binding, NOON, ring)[0]
    assert (tick.due_at, tick.late) == (due_at, "")
    [late] = judged(binding, NOON, ring + timedelta(minutes=2))[0]
    assert late.late.startswith("missed: ")


def test_what_the_documents_show_can_be_declared() -> None:
    text = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(shown, "docs/schedules.md", "exec"), {})
