"""The extended syntax by the sentences of Quartz's CronExpression, and what we decided where it is silent."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.cron import CronExpression
from triggers.cron.fields import EXTENDED, QUARTZ, Syntax
from triggers.errors import InvalidTrigger


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def parse(expression: str, zone: str = "UTC", syntax: Syntax = EXTENDED) -> CronExpression:
    return CronExpression.parse(expression, timezone=zone, syntax=syntax)


def days(expression: str, year: int = 2026, syntax: Syntax = EXTENDED) -> list[str]:
    due = parse(expression, syntax=syntax).between(at(f"{year - 1}-12-31T23:59:59Z"), at(f"{year}-12-31T23:59:59Z"))
    return [instant.strftime("%m-%d") for instant in due]


def month_days(field: str, month: str = "*", year: int = 2026) -> list[str]:
    return days(f"0 0 {field} {month} ?", year)


def test_l_is_the_last_day_of_the_month_also_in_leap_years() -> None:
    assert month_days("L", "jan-apr") == ["01-31", "02-28", "03-31", "04-30"]
    assert month_days("L", "2", 2028) == ["02-29"]
    assert month_days("1,L", "2") == ["02-01", "02-28"]


def test_l_with_an_offset_counts_back_from_the_last_day_and_names_no_day_a_month_does_not_have() -> None:
    assert month_days("L-3", "1-2") == ["01-28", "02-25"]
    assert month_days("L-30") == ["01-01", "03-01", "05-01", "07-01", "08-01", "10-01", "12-01"]


def test_w_is_the_nearest_weekday_in_the_same_month() -> None:
    assert month_days("15W", "aug") == ["08-14"]  # the 15th is a Saturday: Friday the 14th
    assert month_days("15W", "nov") == ["11-16"]  # a Sunday: Monday the 16th
    assert month_days("15W", "sep") == ["09-15"]  # a Tuesday: itself
    assert month_days("1W", "aug") == ["08-03"]  # a Saturday, and does not jump over the month's start
    assert month_days("31W", "may") == ["05-29"]  # a Sunday, and does not jump over its end
    assert "06-30" not in month_days("31W")


def test_lw_is_the_last_weekday_of_the_month_and_may_follow_an_offset() -> None:
    assert month_days("LW", "jan-may") == ["01-30", "02-27", "03-31", "04-30", "05-29"]
    assert month_days("L-1W", "10", 2010) == ["10-29"]
    assert month_days("2W,16", "10", 2010) == ["10-01", "10-16"]


def test_a_weekday_with_l_is_the_last_of_the_month_and_with_a_number_the_nth() -> None:
    assert days("0 0 * 1-3 5L") == days("0 0 * 1-3 FRIL") == ["01-30", "02-27", "03-27"]
    assert days("0 0 * 1-2 mon#2") == days("0 0 * 1-2 1#2") == ["01-12", "02-09"]
    assert days("0 0 * * 5#5") == ["01-30", "05-29", "07-31", "10-30"]
    assert days("0 0 * 3 sun#1,0#3,7L") == ["03-01", "03-15", "03-29"]


def test_the_day_fields_are_joined_as_cron_joins_them() -> None:
    assert days("0 0 L 1 1#1") == ["01-05", "01-31"]  # both restricted: either
    assert days("0 0 */2 1 5L") == []  # one begins with *: both; the 30th is no odd day
    assert days("0 0 */3 1 5#1,6#2") == ["01-10"]


def test_a_question_mark_leaves_a_day_field_open() -> None:
    assert days("0 0 ? 1 mon") == days("0 0 * 1 mon")
    assert days("0 0 10 1 ?") == ["01-10"]


def test_seconds_stand_in_front_and_a_year_behind() -> None:
    noon = parse("10,40 0 12 * * *").between(at("2026-01-01T00:00Z"), at("2026-01-02T00:00Z"))
    assert [instant.second for instant in noon] == [10, 40]
    once = parse("5 30 1 1 1 ? 2027")
    assert once.next_after(at("2026-01-01T00:00Z")) == at("2027-01-01T01:30:05Z")
    assert once.next_after(at("2027-01-01T01:30:05Z")) is None
    assert days("0 0 0 1 6 ? 2026/2", 2028) == ["06-01"]


def test_ranges_may_run_over_the_end_and_a_step_needs_no_range() -> None:
    hours = parse("0 22-2 * * *").between(at("2025-12-31T23:59Z"), at("2026-01-01T23:59Z"))
    assert [instant.hour for instant in hours] == [0, 1, 2, 22, 23]
    week = parse("0 0 * * fri-mon").between(at("2026-01-04T00:00Z"), at("2026-01-11T00:00Z"))
    assert [instant.strftime("%a") for instant in week] == ["Mon", "Fri", "Sat", "Sun"]
    assert days("0 0 * 1 7-2") == days("0 0 * 1 0-2")
    assert days("0 0 * 1 fri-mon/2") == days("0 0 * 1 fri,sun")
    minutes = parse("40/15 * * * *").between(at("2026-01-01T00:00Z"), at("2026-01-01T00:59Z"))
    assert [instant.minute for instant in minutes] == [40, 55]


def test_quartz_counts_weekdays_from_sunday_as_1() -> None:
    assert days("0 0 0 ? 1 2#1", syntax=QUARTZ) == days("0 0 * 1 mon#1") == ["01-05"]
    assert days("0 0 0 ? 1 6L", syntax=QUARTZ) == days("0 0 * 1 friL")
    assert days("0 0 0 ? 1 L", syntax=QUARTZ) == days("0 0 0 ? 1 SAT", syntax=QUARTZ) == days("0 0 * 1 6")
    assert days("0 0 0 ? 1 FRI-SUN", syntax=QUARTZ) == days("0 0 * 1 5-7")
    assert days("0 0 0 ? 1 1", syntax=QUARTZ) == days("0 0 * 1 sun")


def test_over_clock_changes_the_minutes_are_cron_s_and_the_seconds_lie_within_them() -> None:
    window = (at("2026-03-28T23:00Z"), at("2026-03-29T02:30Z"))
    fixed = parse("0,30 30 2 * * *", "Europe/Berlin").between(*window)
    assert [str(instant)[11:19] for instant in fixed] == ["01:00:00", "01:00:30"]
    last = parse("30 2 L-2 3 *", "Europe/Berlin").between(*window)
    assert [str(instant)[11:19] for instant in last] == ["01:00:00"]
    fold = parse("15 30 2 * * *", "Europe/Berlin").between(at("2026-10-24T23:00Z"), at("2026-10-25T03:00Z"))
    assert [str(instant)[11:19] for instant in fold] == ["00:30:15"]


@pytest.mark.parametrize(("zone", "day"), [("Asia/Beirut", "2026-03-29"), ("America/Havana", "2026-03-08")])
def test_with_seconds_a_gap_is_made_up_for_where_the_day_would_be_passed_over_and_only_there(
    zone: str, day: str
) -> None:
    around = at(f"{day}T00:00Z") - timedelta(hours=6), at(f"{day}T00:00Z") + timedelta(hours=12)
    midnight = list(parse("0 0 0 * * *", zone).between(*around))
    assert midnight == list(parse("0 0 * * *", zone).between(*around))
    assert len(midnight) == 1
    assert len(list(parse("0 0 0,3 * * *", zone).between(*around))) == 1


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 0 L-31 * ?", "write L-1 to L-30"),
        ("0 0 L-0 * ?", "write L-1 to L-30"),
        ("0 0 32W * ?", "32 is out of range"),
        ("0 0 1-5W * ?", "mon-fri as day of week"),
        ("0 0 * * 1#6", "at most five"),
        ("0 0 * * 1#0", "at most five"),
        ("0 0 * * 8L", "8 is out of range"),
        ("0 0 * * foo#1", "neither a number nor a name"),
        ("0 0 ? * ?", "'?' stands alone"),
        ("0 0 ?/2 * *", "'?' stands alone"),
        ("L 0 1 * *", "minute 'L'"),
        ("0 0 1 * * * * *", "has 8 fields, extended cron has five"),
        ("0 0 0 1 1 ? 1969", "year '1969' (allowed: 1970-2099)"),
        ("0 0 0 1 1 ? 2030-2028", "runs backwards"),
        ("0 0 0 30 2 ?", "never due"),
        ("0 0 0 29 2 ? 2027", "never due"),
        ("0 0 31W 2,6 ?", "never due"),
        ("@reboot", "tidemill run"),
    ],
)
def test_what_means_nothing_is_refused_with_what_to_write(expression: str, said: str) -> None:
    with pytest.raises(InvalidTrigger) as refused:
        parse(expression)
    assert repr(expression) in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "expression", ["0 0 L * *", "0 0 15W * *", "0 0 * * 1#2", "0 0 ? * 1", "0 0 * * 5L", "0 0 LW * *"]
)
def test_unmarked_the_extensions_are_refused_and_the_mark_is_named(expression: str) -> None:
    with pytest.raises(InvalidTrigger, match=r"extended=True"):
        CronExpression.parse(expression)


def test_quartz_wants_one_open_day_field() -> None:
    with pytest.raises(InvalidTrigger, match="wants '\\?'"):
        parse("0 0 12 * * *", syntax=QUARTZ)
    with pytest.raises(InvalidTrigger, match="Quartz has six"):
        parse("0 12 * * ?", syntax=QUARTZ)
    with pytest.raises(InvalidTrigger, match="day of week '0'"):
        parse("0 0 12 ? * 0", syntax=QUARTZ)


@given(st.dates(min_value=date(1999, 1, 1), max_value=date(2060, 12, 31)), st.integers(1, 31))
def test_the_nearest_weekday_is_never_a_weekend_nor_in_another_month_nor_further_than_two_days(
    start: date, day: int
) -> None:
    after = datetime(start.year, start.month, 1, tzinfo=UTC) - timedelta(seconds=1)
    due = parse(f"0 0 {day}W * ?").next_after(after)
    assert due is not None
    length = monthrange(due.year, due.month)[1]
    wanted = date(due.year, due.month, day)
    assert day <= length
    assert due.weekday() < 5
    moved = (due.date() - wanted).days
    assert abs(moved) <= (2 if day in (1, length) else 1)
    assert (moved == 0) is (wanted.weekday() < 5)


@given(
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2037, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(["*/7 * * * * *", "5,50 30 2 * * *", "0 0 0 L * ?", "1 0 0 ? * 5#3", "59 59 23 LW * ?"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe"]),
)
def test_the_next_second_is_the_same_from_anywhere_before_it(instant: datetime, expression: str, zone: str) -> None:
    cron = parse(expression, zone)
    following = cron.next_after(instant)
    assert following is not None
    assert following > instant
    assert cron.next_after(following - timedelta(microseconds=1)) == following
    assert cron.next_after(instant + (following - instant) / 2) == following
