from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from service.words.times import distance, instant, lasted, when

NOW = datetime(2026, 3, 5, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 ms"),
        (0.0312, "31 ms"),
        (0.9994, "999 ms"),
        (0.9996, "1 s"),
        (2.5, "2.5 s"),
        (12.44, "12.4 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min"),
        (245, "4 min 5 s"),
        (3600, "1 h"),
        (7380, "2 h 3 min"),
        (86_400 * 3 + 4 * 3600 + 59, "3 d 4 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, told: str) -> None:
    assert lasted(seconds) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.4, "now"), (-0.4, "now"), (-180, "3 min ago"), (300, "in 5 min"), (-59.6, "1 min ago"), (90_000, "in 1 d")],
)
def test_how_far_an_instant_is(seconds: float, told: str) -> None:
    assert distance(NOW + timedelta(seconds=seconds), NOW) == told


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-03-05T11:57:00+00:00", "06:57:00 (3 min ago)"),
        ("2026-03-05T02:00:00Z", "04 Mar 21:00 (10 h ago)"),
        ("2025-12-31T12:00:00+00:00", "31 Dec 2025 07:00 (64 d ago)"),
    ],
)
def test_instants_are_told_in_local_time_as_short_as_they_can_be(at: str, told: str) -> None:
    assert when(instant(at), NOW) == told
