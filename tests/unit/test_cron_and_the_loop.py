"""Cron against an oracle: Debian's loop, walked minute by minute over clock changes, for any expression."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests import debian_cron
from triggers.cron import CronExpression
from triggers.errors import InvalidTrigger

# An hour in which the clock is changed; 0:00 and 0:01 local time among them, by half an hour and by two hours too.
CHANGES = {
    "Europe/Berlin": ("2026-03-29T01:00Z", "2026-10-25T01:00Z"),
    "Asia/Beirut": ("2026-03-28T22:00Z", "2026-10-24T21:00Z"),
    "America/Havana": ("2026-03-08T05:00Z", "2026-11-01T05:00Z"),
    "America/Santiago": ("2024-09-08T04:00Z", "2024-04-07T03:00Z"),
    "America/St_Johns": ("2011-03-13T03:31Z", "2010-11-07T02:31Z"),
    "Australia/Lord_Howe": ("2026-10-03T15:30Z", "2026-04-04T15:00Z"),
    "Pacific/Chatham": ("2026-09-26T14:00Z", "2026-04-04T14:00Z"),
    "Antarctica/Troll": ("2026-03-29T01:00Z", "2026-10-25T01:00Z"),
    "Africa/Casablanca": ("2026-02-15T02:00Z", "2026-03-22T02:00Z"),
    "Pacific/Apia": ("2011-12-30T10:00Z", "2011-12-30T10:00Z"),
}


def field(low: int, high: int) -> st.SearchStrategy[str]:
    """Any field of numbers: lists of stars, steps, single ones and ranges."""
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(st.one_of(st.just("*"), span), st.integers(1, high + 2)).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    )
    item = st.one_of(st.just("*"), number.map(str), span, stepped)
    return st.lists(item, min_size=1, max_size=3).map(",".join)


def read(text: str, zone: str) -> CronExpression | None:
    """None for a date that no month has: Debian accepts it and never runs it."""
    try:
        return CronExpression.parse(text, timezone=zone)
    except InvalidTrigger as refused:
        if "never due" not in str(refused):
            raise
        return None


days = st.one_of(st.just(("*", "*", "*")), st.tuples(field(1, 31), field(1, 12), field(0, 7)))


@settings(deadline=None, max_examples=80)
@given(
    st.sampled_from(sorted(CHANGES)),
    st.booleans(),
    field(0, 59),
    field(0, 23),
    days,
    st.integers(0, 30),
    st.integers(1, 30),
)
def test_due_as_the_loop_would_run_it(
    zone: str, back: bool, minute: str, hour: str, rest: tuple[str, str, str], before: int, after: int
) -> None:
    text = " ".join((minute, hour, *rest))
    change = datetime.fromisoformat(CHANGES[zone][back])
    start, end = change - timedelta(hours=before, minutes=7), change + timedelta(hours=after)
    expression = read(text, zone)
    assume(expression is not None)
    assert expression is not None
    expected = debian_cron.runs([text], ZoneInfo(zone), start - timedelta(hours=6), end, step=1)[text]
    assert list(expression.between(start, end)) == [instant for instant in expected if instant > start]


@pytest.mark.parametrize("zone", sorted(CHANGES))
def test_the_clock_is_changed_there(zone: str) -> None:
    for change in map(datetime.fromisoformat, CHANGES[zone]):
        around = [(change + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone)).utcoffset() for minutes in (-40, 40)]
        assert around[0] != around[1], change
    assert change.tzinfo == UTC
