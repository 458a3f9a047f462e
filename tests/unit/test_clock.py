"""The daemon's clock is the database's, whatever the machine's says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from service import clock
from service.clock import DatabaseClock
from service.errors import DatabaseUnavailable
from triggers.event import set_clock, utc_now

HOUR = timedelta(hours=1)
NEAR = timedelta(seconds=30)


@pytest.fixture(autouse=True)
def set_right() -> Iterator[None]:
    began = utc_now() - datetime.now(UTC)
    yield
    set_clock((began - (utc_now() - datetime.now(UTC))).total_seconds())


def database(*ahead: timedelta | None) -> DatabaseClock:
    """A clock whose database is so far ahead of this machine at each question; None: it is away."""
    answers = iter(ahead)

    async def ask() -> datetime:
        found = next(answers)
        if found is None:
            raise DatabaseUnavailable("away")
        return datetime.now(UTC) + found

    return DatabaseClock(ask)


async def test_it_is_as_late_as_it_is_for_the_database() -> None:
    one = database(HOUR, -HOUR)
    for ahead in (HOUR, -HOUR):
        await one.set()
        assert abs(one.now() - (datetime.now(UTC) + ahead)) < NEAR


async def test_a_machine_whose_clock_is_set_goes_on_counting_seconds() -> None:
    one = database(timedelta())
    await one.set()
    for by_s in (3_600, -7_200):
        set_clock(by_s)
        assert abs(utc_now() - datetime.now(UTC)) >= HOUR - NEAR
        assert abs(one.now() - datetime.now(UTC)) < NEAR


async def test_a_difference_that_the_question_may_have_made_sets_nothing() -> None:
    one = database(timedelta(milliseconds=10))
    before = one.now() - datetime.now(UTC)
    await one.set()
    assert abs((one.now() - datetime.now(UTC)) - before) < timedelta(milliseconds=5)


async def test_it_asks_again_and_goes_on_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "EVERY_S", 0.0)
    one = database(None, HOUR)
    # The third question finds no answer prepared: that ends the loop.
    with pytest.raises(RuntimeError):
        await asyncio.wait_for(one.run(), 20)
    assert abs(one.now() - (datetime.now(UTC) + HOUR)) < NEAR
