"""Which ticks a backfill has, and how a schedule is told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import chain

import pytest

from service.backfill import MOST_TICKS, Backfill, Stretch, described, find_schedule
from service.errors import Invalid, NotFound
from stages.base import stage
from stages.pipeline import Pipeline
from tests.db.daemons import catalogue
from triggers import Calendar, Cron, Every, Files
from triggers.base import Binding
from triggers.schedule import due_times, tick_event

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def even(day: date) -> bool:
    """A rule of a calendar."""
    return day.day % 2 == 0


@stage
async def nothing() -> None:
    """Never run here."""


def binding(trigger: Cron | Every) -> Binding:
    return Binding("flights", trigger)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("most", [1, 7, 1000])
def test_a_stretch_has_each_tick_once_in_order_both_ends_included(newest_first: bool, most: int) -> None:
    trigger = Every("1h")
    stretch = Stretch(from_at=DAY, to_at=DAY + timedelta(hours=48), newest_first=newest_first)
    expected = list(due_times(trigger, DAY - timedelta(seconds=1), DAY + timedelta(hours=48)))
    assert len(expected) == stretch.count(trigger) == 49
    found = list(chain.from_iterable(stretch.batches(trigger, most)))
    assert found == (expected[::-1] if newest_first else expected)


def test_too_many_ticks_are_refused() -> None:
    with pytest.raises(Invalid, match=str(MOST_TICKS)):
        Stretch(from_at=DAY, to_at=DAY + timedelta(seconds=MOST_TICKS)).count(Every("1s"))


def test_a_tick_is_the_clock_s_own_event_unless_it_is_to_run_again() -> None:
    nightly = binding(Cron("0 2 * * *"))
    own = tick_event(nightly, DAY)
    once = Backfill(id=3, binding=nightly, again=False, priority=-100).event(DAY)
    again = Backfill(id=3, binding=nightly, again=True, priority=-100).event(DAY)
    assert once.key == own.key != again.key
    assert once.time == again.time == DAY
    assert once.data == again.data == {**own.data, "scheduled_at": "2026-01-01T00:00:00Z", "backfill": 3}


def test_a_schedule_is_told_by_all_that_its_ticks_follow_from_and_in_every_process_alike() -> None:
    calendar = Calendar(dates=["12-25"], weekdays=["sat"], rule=even, file="days.txt")
    told = described(binding(Cron("0 2 * * *", start=DAY, exclude=calendar, only=[Calendar(dates=[date(2026, 5, 1)])])))
    assert told == (
        "cron:0 2 * * *; from 2026-01-01T00:00:00Z; except 12-25, sat, days.txt, tests.unit.test_backfill.even; "
        "only 2026-05-01; days of UTC"
    )
    assert described(binding(Every("15m", jitter="1m", name="often"))) == "every:15m"


def test_a_schedule_is_found_by_its_name_or_as_the_only_one() -> None:
    loaded = catalogue(
        [
            Pipeline("one", [nothing], on=[Cron("@daily", name="nightly"), Files("*.csv")]),
            Pipeline("two", [nothing], on=[Every("1h"), Every("2h", name="slow")]),
        ]
    )
    assert find_schedule(loaded, "one").name == find_schedule(loaded, "nightly").name == "one/nightly"
    assert find_schedule(loaded, "two/every:1h").trigger.name == "every:1h"
    with pytest.raises(Invalid, match="several schedules: name one of two/every:1h, two/slow"):
        find_schedule(loaded, "two")
    with pytest.raises(Invalid, match="is no schedule"):
        find_schedule(loaded, "one/files:*.csv")
    with pytest.raises(NotFound, match="there are one/nightly, two/every:1h, two/slow"):
        find_schedule(loaded, "three")
    with pytest.raises(NotFound, match="there is none"):
        find_schedule(catalogue([Pipeline("bare", [nothing])]), "bare")
