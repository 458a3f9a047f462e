"""Numbers over time, as points on a line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT, EDGE = 320.0, 96.0, 8.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A value, what it is of, and where more is told."""

    value: float
    label: str
    to: str
    look: str = "plain"


@dataclass(frozen=True, slots=True)
class Point:
    """Where a value is drawn."""

    x: float
    y: float
    of: Measured


@dataclass(frozen=True, slots=True)
class Plot:
    """A line through all of them, from the lowest to the highest."""

    name: str
    low: float
    high: float
    points: Sequence[Point]

    @property
    def line(self) -> str:
        """The path of the line."""
        return "M" + "L".join(f"{one.x:g} {one.y:g}" for one in self.points)


def plot(name: str, measured: Sequence[Measured]) -> Plot | None:
    """Those that are numbers, evenly from left to right; None where there are none."""
    finite = [one for one in measured if math.isfinite(one.value)]
    if not finite:
        return None
    low, high = min(one.value for one in finite), max(one.value for one in finite)
    step = (WIDTH - 2 * EDGE) / max(len(finite) - 1, 1)
    span = high - low

    def height(value: float) -> float:
        part = (value - low) / span if span > 0 and math.isfinite(span) else 0.5
        return round(HEIGHT - EDGE - part * (HEIGHT - 2 * EDGE), 1)

    points = [Point(round(EDGE + place * step, 1), height(one.value), one) for place, one in enumerate(finite)]
    return Plot(name, low, high, points)
