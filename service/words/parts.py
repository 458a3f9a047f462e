"""Parts that several views share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.words.times import distance, instant, lasted, when

DIGEST_SHOWN = 10
BAR_WIDTH = 10


def moment(at: str | None, now: datetime) -> str:
    """An instant of the API with its distance, or nothing."""
    return "" if at is None else when(instant(at), now)


def how_far(at: str | None, now: datetime) -> str:
    """Only the distance, or nothing."""
    return "" if at is None else distance(instant(at), now)


def took(seconds: float | None) -> str:
    """A duration, or nothing."""
    return "" if seconds is None else lasted(seconds)


def number(value: float) -> str:
    """A measured number with as many digits as say something: `27,004`, `0.8312`."""
    whole = float(value).is_integer() or abs(value) >= 1e4
    return f"{value:,.0f}" if whole and abs(value) < 1e15 else f"{value:.5g}"


def bar(fraction: float) -> str:
    """A part of a whole: `[####......]  42%`."""
    done = int(fraction * BAR_WIDTH)
    return f"[{'#' * done}{'.' * (BAR_WIDTH - done)}] {fraction:4.0%}"


def metrics(values: Mapping[str, float]) -> str:
    """Measured numbers on one line."""
    return "  ".join(f"{name} {number(value)}" for name, value in values.items())


def size(count: int) -> str:
    """Bytes in decimal units: `812 B`, `1.4 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"


def cost(given: Mapping[str, Any] | None) -> str:
    """What was used, as far as it was measured: `1.2 s CPU, 81 MB`."""
    if given is None:
        return ""
    memory = given["memory_bytes"]
    return f"{lasted(given['cpu_s'])} CPU" + (f", {size(memory)}" if memory else "")


def artifact(ref: Mapping[str, Any] | None) -> str:
    """An artifact by the first digits of its digest: `8f2c01d4aa parquet 1.4 MB`."""
    return "" if ref is None else f"{ref['digest'][:DIGEST_SHOWN]} {ref['codec']} {size(ref['size_bytes'])}"
