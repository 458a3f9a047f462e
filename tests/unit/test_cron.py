"""Cron by the sentences of crontab(5), cron(8) and the loop of Debian's cron 3.0pl1."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.cron import CronExpression
from triggers.errors import InvalidTrigger

WEEK = ("2026-01-04T00:00Z", "2026-01-11T00:00Z")  # (Sunday midnight, the next]: no Sunday but the last instant


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def due(expression: str, after: str, until: str, zone: str = "UTC") -> list[str]:
    times = CronExpression.parse(expression, timezone=zone).between(at(after), at(until))
    return [instant.strftime("%m-%d %H:%M") for instant in times]


def hours(expression: str) -> list[int]:
    day = CronExpression.parse(expression).between(at("2025-12-31T23:59Z"), at("2026-01-01T23:59Z"))
    return sorted({instant.hour for instant in day})


def minutes(field: str) -> list[int]:
    hour = CronExpression.parse(f"{field} * * * *").between(at("2025-12-31T23:59Z"), at("2026-01-01T00:59Z"))
    return [instant.minute for instant in hour]


def weekdays(field: str) -> str:
    week = CronExpression.parse(f"0 0 * * {field}").between(*map(at, WEEK))
    return " ".join(instant.strftime("%a") for instant in week)


def test_an_asterisk_stands_for_first_to_last() -> None:
    assert minutes("*") == list(range(60))
    assert hours("0 * * * *") == list(range(24))


def test_ranges_are_inclusive() -> None:
    assert hours("0 8-11 * * *") == [8, 9, 10, 11]


def test_lists_are_numbers_and_ranges_separated_by_commas() -> None:
    assert minutes("1,2,5,9") == [1, 2, 5, 9]
    assert minutes("0-4,8-12,7-9") == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 12]


def test_steps_skip_through_the_range_from_its_first_number() -> None:
    assert hours("0 1-9/2 * * *") == [1, 3, 5, 7, 9]
    assert minutes("*/25") == [0, 25, 50]
    assert minutes("10-20/30") == [10]
    assert minutes("*/60") == minutes("*/999") == [0]


def test_numbers_are_decimal_whatever_zeros_they_begin_with() -> None:
    assert minutes("08") == [8]
    assert minutes("010") == [10]


def test_names_are_three_letters_in_any_case_also_in_ranges_lists_and_with_steps() -> None:
    assert weekdays("SUN") == "Sun"
    assert weekdays("mon-Fri/2") == "Mon Wed Fri"
    assert weekdays("tue,sat") == "Tue Sat"
    months = CronExpression.parse("0 0 1 feb-jun/2,DEC *").between(at("2025-12-31T00:00Z"), at("2026-12-31T00:00Z"))
    assert [instant.month for instant in months] == [2, 4, 6, 12]


def test_both_0_and_7_are_sunday() -> None:
    assert weekdays("0") == weekdays("7") == "Sun"
    assert weekdays("5-7") == "Fri Sat Sun"
    assert weekdays("sun-tue") == "Mon Tue Sun"
    assert weekdays("1-5") == "Mon Tue Wed Thu Fri"
    assert weekdays("*/2") == "Tue Thu Sat Sun"
    assert weekdays("*/7") == "Sun"


def test_with_both_day_fields_restricted_either_may_match() -> None:
    found = due("30 4 1,15 * 5", "2026-05-01T05:00Z", "2026-06-01T05:00Z")
    assert found == ["05-08 04:30", "05-15 04:30", "05-22 04:30", "05-29 04:30", "06-01 04:30"]
    assert len(due("0 0 1-31 * 1", "2026-01-01T12:00Z", "2026-01-31T12:00Z")) == 30


def test_a_day_field_that_begins_with_an_asterisk_makes_both_necessary() -> None:
    assert due("0 0 */2 * 1", "2026-01-01T00:00Z", "2026-02-01T00:00Z") == ["01-05 00:00", "01-19 00:00"]
    assert due("0 0 13 * */2", "2026-01-01T00:00Z", "2026-04-01T00:00Z") == ["01-13 00:00"]
    assert len(due("0 0 *,13 * 5", "2026-01-01T00:00Z", "2026-02-01T00:00Z")) == 5
    assert len(due("0 0 * * *,1", "2026-01-01T00:00Z", "2026-02-01T00:00Z")) == 31


@pytest.mark.parametrize(
    ("nickname", "fields"),
    [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ],
)
def test_nicknames_stand_for_five_fields(nickname: str, fields: str) -> None:
    window = ("2026-01-01T00:00Z", "2027-01-01T00:00Z")
    assert due(nickname, *window) == due(fields, *window) != []


def test_months_without_the_day_are_passed_over() -> None:
    assert due("0 0 31 * *", "2026-01-31T00:00Z", "2026-06-01T00:00Z") == ["03-31 00:00", "05-31 00:00"]
    leap = CronExpression.parse("0 0 29 2 *")
    assert leap.next_after(at("2026-01-01T00:00Z")) == at("2028-02-29T00:00Z")
    assert leap.next_after(at("2096-03-01T00:00Z")) == at("2104-02-29T00:00Z")


def test_the_window_is_open_at_its_start_and_closed_at_its_end() -> None:
    assert due("0 * * * *", "2026-01-01T01:00Z", "2026-01-01T03:00Z") == ["01-01 02:00", "01-01 03:00"]
    assert due("0 * * * *", "2026-01-01T00:59:59.999999Z", "2026-01-01T01:00Z") == ["01-01 01:00"]
    assert due("0 * * * *", "2026-01-01T01:00:00.000001Z", "2026-01-01T01:59:59Z") == []


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["03-29 01:00"]),  # 02:30 does not exist: at once after the gap
        ("15,45 2 * * *", ["03-29 01:00"]),
        ("30 2,3 * * *", ["03-29 01:00", "03-29 01:30"]),
        ("0 1-3 * * *", ["03-29 00:00", "03-29 01:00"]),
        ("0 3 * * *", ["03-29 01:00"]),
        ("*/30 2 * * *", []),
        ("30 * * * *", ["03-28 23:30", "03-29 00:30", "03-29 01:30"]),
        ("0 */2 * * *", ["03-29 02:00"]),
    ],
)
def test_when_the_clock_is_set_forward_skipped_fixed_times_run_at_once_and_wildcards_follow_the_clock(
    expression: str, expected: list[str]
) -> None:
    assert due(expression, "2026-03-28T23:00Z", "2026-03-29T02:00Z", "Europe/Berlin") == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("30 2 * * *", ["10-25 00:30"]),
        ("0 3 * * *", ["10-25 02:00"]),
        ("0,59 2 * * *", ["10-25 00:00", "10-25 00:59"]),
        ("30 1-3 * * *", ["10-24 23:30", "10-25 00:30", "10-25 02:30"]),
        ("*/30 2 * * *", ["10-25 00:00", "10-25 00:30", "10-25 01:00", "10-25 01:30"]),
        ("30 * * * *", ["10-24 23:30", "10-25 00:30", "10-25 01:30", "10-25 02:30"]),
        ("0 */2 * * *", ["10-25 00:00", "10-25 01:00", "10-25 03:00"]),
    ],
)
def test_when_the_clock_is_set_back_fixed_times_run_the_first_time_only_and_wildcards_both_times(
    expression: str, expected: list[str]
) -> None:
    assert due(expression, "2026-10-24T23:00Z", "2026-10-25T03:00Z", "Europe/Berlin") == expected


def test_every_instant_of_a_fold_can_be_the_starting_point() -> None:
    half_hourly = CronExpression.parse("*/30 * * * *", timezone="America/New_York")
    daily = CronExpression.parse("30 1 * * *", timezone="America/New_York")
    for minute in range(240):
        instant = at("2026-11-01T04:00Z") + timedelta(minutes=minute)
        half_hour = at("2026-11-01T04:00Z") + timedelta(minutes=minute // 30 * 30 + 30)
        assert half_hourly.next_after(instant) == half_hourly.next_after(instant + timedelta(seconds=30)) == half_hour
        expected = "2026-11-01T05:30Z" if minute < 90 else "2026-11-02T06:30Z"
        assert daily.next_after(instant) == at(expected)


@pytest.mark.parametrize(("zone", "day"), [("Asia/Beirut", "2026-03-29"), ("America/Havana", "2026-03-08")])
def test_a_midnight_that_does_not_exist_is_due_all_the_same(zone: str, day: str) -> None:
    midnight = CronExpression.parse("0 0 * * *", timezone=zone)
    change = midnight.next_after(at(f"{day}T00:00Z") - timedelta(days=1) + timedelta(hours=12))
    assert change is not None
    assert change.astimezone(midnight.zone).isoformat()[:16] == f"{day}T01:00"


def test_changes_by_half_an_hour_and_folds_at_odd_minutes_are_kept() -> None:
    gap, fold = ("2026-10-03T13:00Z", "2026-10-03T17:00Z"), ("2026-04-04T12:30Z", "2026-04-04T17:00Z")
    assert due("15 2 * * *", *gap, "Australia/Lord_Howe") == ["10-03 15:30"]
    assert due("45 1 * * *", *fold, "Australia/Lord_Howe") == ["04-04 14:45"]
    assert len(due("15 * * * *", *fold, "Australia/Lord_Howe")) == 4
    chatham = due("30 */3 * * *", "2026-04-04T12:00Z", "2026-04-04T17:30Z", "Pacific/Chatham")
    assert chatham == ["04-04 13:45", "04-04 14:45"]
    assert due("58 */3 * * *", "2026-04-04T12:00Z", "2026-04-04T17:30Z", "Pacific/Chatham") == ["04-04 15:13"]


def test_a_change_of_three_hours_or_more_is_a_correction_and_nothing_is_made_up() -> None:
    assert due("0 12 * * *", "2011-12-29T12:00Z", "2011-12-31T12:00Z", "Pacific/Apia") == ["12-29 22:00", "12-30 22:00"]
    assert due("* * 30 12 *", "2011-12-30T08:00Z", "2011-12-30T12:00Z", "Pacific/Apia") == []


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("60 * * * *", "minute '60' (allowed: 0-59): 60 is out of range"),
        ("50-70/30 * * * *", "minute '50-70/30'"),
        ("0 24 * * *", "hour '24' (allowed: 0-23)"),
        ("0 0 0 * *", "day of month '0' (allowed: 1-31)"),
        ("0 0 * 13 *", "month '13' (allowed: 1-12 or jan,"),
        ("0 0 * * 8", "day of week '8' (allowed: 0-7 or sun,"),
        ("0 0 * january *", "Write 'jan'"),
        ("0 0 * * monday", "Write 'mon'"),
        ("0 mon * * *", "'mon' is neither a number nor a name"),
        ("5/15 * * * *", "Write 5-59/15 or */15"),
        ("*/0 * * * *", "step of '*/0' is zero"),
        ("0 22-2 * * *", "Write 22-23,0-2"),
        ("0 0 * * fri-sun", "Write 5-7,0-0"),
        ("0 0 * * 1#2", "'1#2' is not one of"),
        ("-5 * * * *", "'-5' is not one of"),
        ("5- * * * *", "'5-' is not one of"),
        (", * * * *", "'' is not one of"),
        ("1-5/2/3 * * * *", "is not one of"),
        ("*5 * * * *", "is not one of"),
        ("٣ * * * *", "is not one of"),
        ("0 0 30 2 *", "never due"),
        ("0 0 31 4,jun */2", "never due"),
        ("0 0 12 * * *", "has 6 fields, cron has five"),
        ("", "has 0 fields"),
        ("@reboot", "tidemill run"),
        ("@Daily", "Known: @hourly, @daily"),
        ("@every 5m", "no such nickname"),
    ],
)
def test_a_wrong_expression_is_refused_with_what_is_wrong_and_what_to_write(expression: str, said: str) -> None:
    with pytest.raises(InvalidTrigger) as refused:
        CronExpression.parse(expression)
    assert repr(expression) in str(refused.value)
    assert said in str(refused.value)


def test_a_date_no_month_has_is_fine_where_the_weekday_may_match_instead() -> None:
    assert len(due("0 0 30 2 mon", "2026-02-01T00:00Z", "2026-03-01T00:00Z")) == 4


@pytest.mark.parametrize("zone", ["Europe/Berlim", "", "../etc/passwd", "Europe", "CEST-1"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidTrigger, match="is not known"):
        CronExpression.parse("@daily", timezone=zone)


def test_an_unknown_time_zone_brings_the_nearest_known_one() -> None:
    with pytest.raises(InvalidTrigger, match="'Europe/Berlin'"):
        CronExpression.parse("@daily", timezone="Europe/Berlim")


def test_the_ends_of_time_are_none_rather_than_an_error() -> None:
    for zone in ("UTC", "Pacific/Kiritimati", "America/New_York"):
        hourly = CronExpression.parse("@hourly", timezone=zone)
        assert hourly.next_after(datetime.max.replace(tzinfo=UTC)) is None
        assert hourly.next_after(datetime.min.replace(tzinfo=UTC)) is None


instants = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu"])


@given(instants, zones, st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0 0 29 2 *", "15 1-3 */3 * mon"]))
def test_the_next_instant_is_the_same_from_anywhere_before_it(instant: datetime, zone: str, expression: str) -> None:
    cron = CronExpression.parse(expression, timezone=zone)
    following = cron.next_after(instant)
    assert following is not None
    assert following > instant
    assert following.second == following.microsecond == 0
    assert cron.next_after(following - timedelta(microseconds=1)) == following
    assert cron.next_after(instant + (following - instant) / 2) == following
