"""Which times requests may name: those farther off leave the calendar where they are told in another zone."""

from __future__ import annotations

from datetime import UTC, datetime

EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
YEARS = f"expected a time from {EARLIEST.year} to {LATEST.year}"


def in_reach(given: datetime) -> datetime:
    """The same time. Raises ValueError where it is too far off."""
    if not EARLIEST <= given < LATEST:
        raise ValueError(YEARS)
    return given


def day_in_reach(given: str) -> str:
    """The same day, as 2026-01-31. Raises ValueError where it is too far off."""
    if not EARLIEST.year <= int(given[:4]) < LATEST.year:
        raise ValueError(YEARS)
    return given
