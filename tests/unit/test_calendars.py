"""Calendars: which days they hold, and what a schedule makes of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from triggers import Calendar, Cron, Every
from triggers.errors import InvalidTrigger
from triggers.schedule import Schedule, due_times

WEEKENDS = Calendar(weekdays=["sat", "sun"])
HOLIDAYS = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:STANDARD
DTSTART:19701025T030000
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
END:VTIMEZONE
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20261225
DTEND;VALUE=DATE:20261227
SUMMARY:Christmas: a day folded
  over two lines
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART;VALUE=DATE:20240101
RRULE:FREQ=YEARLY
BEGIN:VALARM
TRIGGER:-PT15M
END:VALARM
END:VEVENT
BEGIN:VEVENT
UID:3
DTSTART;VALUE=DATE:20240504
RRULE:FREQ=YEARLY;COUNT=3
END:VEVENT
BEGIN:VEVENT
UID:4
DTSTART;VALUE=DATE:20260601
STATUS:CANCELLED
END:VEVENT
END:VCALENDAR
"""


def days(trigger: Schedule, after: str, until: str) -> list[str]:
    window = datetime.fromisoformat(after), datetime.fromisoformat(until)
    return [f"{due:%m-%d}" for due in due_times(trigger, *window)]


def test_a_calendar_holds_dates_days_of_every_year_spans_and_weekdays() -> None:
    calendar = Calendar(dates=["2026-12-25", "01-01", "2026-12-30/2027-01-02", date(2026, 5, 1)], weekdays=["sun"])
    held = [day for day in (date(2026, 1, 1) + timedelta(days=n) for n in range(400)) if calendar.has(day)]
    assert {day for day in held if day.weekday() != 6} == {
        date(2026, 1, 1),
        date(2026, 5, 1),
        date(2026, 12, 25),
        date(2026, 12, 30),
        date(2026, 12, 31),
        date(2027, 1, 1),
        date(2027, 1, 2),
    }
    assert sum(day.weekday() == 6 for day in held) == 57


def test_excluded_days_are_left_out_and_only_those_of_only_are_kept() -> None:
    trigger = Cron("0 6 * * *", exclude=[WEEKENDS, Calendar(dates=["2026-01-01"])])
    assert days(trigger, "2025-12-31T12:00Z", "2026-01-07T00:00Z") == ["01-02", "01-05", "01-06"]
    assert days(Cron("0 6 * * *", only=WEEKENDS), "2025-12-31T12:00Z", "2026-01-11T00:00Z") == [
        "01-03",
        "01-04",
        "01-10",
    ]
    only = Calendar(rule=lambda day: day.day % 2 == 0)
    assert days(Every("1d", only=only, exclude=WEEKENDS), "2025-12-31T12:00Z", "2026-01-09T00:00Z") == [
        "01-02",
        "01-06",
        "01-08",
    ]


def test_days_are_those_of_the_schedule_s_zone() -> None:
    trigger = Cron("30 1 * * *", timezone="Asia/Tokyo", exclude=Calendar(dates=["2026-01-02"]))
    assert days(trigger, "2026-01-01T00:00Z", "2026-01-04T00:00Z") == ["01-02", "01-03"]  # 16:30Z the day before
    hourly = Every("1h", timezone="Asia/Tokyo", exclude=Calendar(dates=["2026-01-02"]))
    window = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
    left_out = {datetime(2026, 1, 1, 15, tzinfo=UTC) + timedelta(hours=n) for n in range(24)}
    assert not left_out & set(due_times(hourly, *window))
    assert len(list(due_times(hourly, *window))) == 24


def test_a_day_whose_midnight_does_not_exist_is_left_out_from_its_first_instant() -> None:
    gap = "2026-03-29"  # in Beirut 0:00 becomes 1:00
    kept = Every("30m", timezone="Asia/Beirut", exclude=Calendar(dates=[gap]))
    due = [one.astimezone(kept.zone) for one in due_times(kept, *_around(gap))]
    assert due
    assert all(one.date() != date.fromisoformat(gap) for one in due)
    assert {one.date().isoformat() for one in due} == {"2026-03-28", "2026-03-30"}


def _around(day: str) -> tuple[datetime, datetime]:
    middle = datetime.fromisoformat(f"{day}T12:00Z")
    return middle - timedelta(days=1), middle + timedelta(days=1)


def test_leaving_out_many_ticks_costs_a_step_a_day() -> None:
    calls = 0

    class Counted(Every):
        def due_after(self, instant: datetime) -> datetime | None:
            nonlocal calls
            calls += 1
            return super().due_after(instant)

    trigger = Counted("1s", only=Calendar(dates=["2028-01-01"]))
    assert trigger.next_after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2028, 1, 1, tzinfo=UTC)
    assert calls < 800


def test_a_schedule_that_is_never_due_says_so_to_the_doctor_instead_of_searching_for_ever() -> None:
    trigger = Cron("0 0 * * sat", exclude=WEEKENDS)
    assert trigger.next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None
    assert trigger.lacks(Path()) == ("it is never due again: look at its end and calendars",)
    assert Cron("@daily").lacks(Path()) == ()


def test_a_file_of_days_is_read_when_it_is_needed(tmp_path: Path) -> None:
    file = tmp_path / "holidays.txt"
    trigger = Cron("@daily", exclude=Calendar(file=file))
    [lacking] = trigger.lacks(Path())
    assert "cannot read" in lacking
    file.write_text("# ours\n2026-01-02  # bridge\n\n01-04\n")
    trigger = Cron("@daily", exclude=Calendar(file=str(file)))
    assert days(trigger, "2026-01-01T00:00Z", "2026-01-05T00:00Z") == ["01-03", "01-05"]


def test_a_relative_path_starts_from_the_daemon_s_root(tmp_path: Path) -> None:
    (tmp_path / "days.txt").write_text("2026-01-02\n")
    trigger = Cron("@daily", only=[Calendar(file="days.txt")])
    assert trigger.lacks(tmp_path) == ("it is never due again: look at its end and calendars",)
    assert trigger.next_after(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 1, 2, tzinfo=UTC)


def test_an_icalendar_file_gives_its_whole_days(tmp_path: Path) -> None:
    file = tmp_path / "holidays.ics"
    file.write_text(HOLIDAYS.replace("\n", "\r\n"))
    calendar = Calendar(file=file)
    held = [day for day in (date(2026, 1, 1) + timedelta(days=n) for n in range(1000)) if calendar.has(day)]
    assert [day.isoformat() for day in held] == [
        "2026-01-01",
        "2026-05-04",
        "2026-12-25",
        "2026-12-26",
        "2027-01-01",
        "2028-01-01",
    ]


@pytest.mark.parametrize(
    ("inside", "said"),
    [
        ("DTSTART:20261225T100000Z", "only events of whole days"),
        ("DTSTART;VALUE=DATE:20261225\nRRULE:FREQ=MONTHLY", "only FREQ=YEARLY"),
        ("DTSTART;VALUE=DATE:20261225\nRRULE:FREQ=YEARLY;BYDAY=-1MO", "is not understood"),
        ("DTSTART;VALUE=DATE:20261225\nDTEND;VALUE=DATE:20261225", "ends before it begins"),
        ("DTSTART;VALUE=DATE:20261225\nEXDATE;VALUE=DATE:20271225", "has EXDATE"),
        ("SUMMARY:nothing", "has no DTSTART"),
    ],
)
def test_what_an_icalendar_file_says_beyond_that_is_refused(tmp_path: Path, inside: str, said: str) -> None:
    file = tmp_path / "holidays.ics"
    file.write_text(f"BEGIN:VEVENT\n{inside}\nEND:VEVENT\n")
    with pytest.raises(InvalidTrigger, match=said):
        Calendar(file=file).has(date(2026, 1, 1))


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (Calendar, "holds no day"),
        (lambda: Calendar(dates="2026-12-25"), "are lists"),
        (lambda: Calendar(dates=["25.12.2026"]), "Write '2026-12-25'"),
        (lambda: Calendar(dates=["02-30"]), "no year has the day"),
        (lambda: Calendar(dates=["2026-12-25/2026-12-24"]), "runs backwards"),
        (lambda: Calendar(weekdays=["saturday"]), "no weekday"),
        (lambda: Calendar(rule="weekends"), "is no function"),  # type: ignore[arg-type]
        (lambda: Cron("@daily", exclude=["2026-12-25"]), "takes a Calendar"),  # type: ignore[list-item]
    ],
)
def test_a_wrong_calendar_is_refused_when_it_is_declared(declare: Callable[[], object], said: str) -> None:
    with pytest.raises(InvalidTrigger, match=said):
        declare()
