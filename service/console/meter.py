"""Numbers, drawn: a measured value against its threshold; sizes one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT, ROOM = 240, 12, 1.15
_DRAWN = Markup(
    '<svg class="meter" viewBox="0 0 {w} {h}" role="img" aria-label="{told}" preserveAspectRatio="none">'
    '<rect class="back" width="{w}" height="{h}" rx="2"/>'
    '<rect class="value {look}" x="{x}" width="{value}" height="{h}" rx="2"/>{mark}</svg>'
)
_MARK = Markup('<line class="bound" x1="{x}" x2="{x}" y1="-1" y2="{below}"/>')
_SPARK = Markup(
    '<svg class="spark" viewBox="0 0 240 34" role="img" aria-label="{told}" preserveAspectRatio="none">{bars}</svg>'
)
_BAR = Markup('<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="1"/>')


def meter(value: Any, threshold: Any = None, look: str = "plain") -> Markup:
    """A bar for the value and a line for the threshold; nothing where the value is no number."""
    if not _is_number(value):
        return Markup("")
    known: list[float] = [value, *([threshold] if _is_number(threshold) else [])]
    low, high = min(0.0, *known), max(0.0, *known)
    span = (high - low) * ROOM or 1.0

    def place(number: float) -> float:
        return round((number - low) / span * WIDTH, 2)

    start, end = sorted((place(0.0), place(value)))
    mark = _MARK.format(x=place(threshold), below=HEIGHT + 1) if _is_number(threshold) else Markup("")
    told = f"{value:.6g}" + (f", threshold {threshold:.6g}" if _is_number(threshold) else "")
    size = {"w": WIDTH, "h": HEIGHT, "x": start, "value": max(end - start, 1)}
    return _DRAWN.format(told=told, look=look, mark=mark, **size)


def _is_number(given: Any) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given)


def spark(values: Sequence[int]) -> Markup:
    """A bar for each value, the tallest as high as the drawing."""
    most = max([*values, 1])
    step = WIDTH / max(len(values), 12)
    bars = Markup("").join(
        _BAR.format(
            x=round(place * step, 1),
            y=round(32 - value / most * 30, 1),
            w=round(step - 1.5, 1),
            h=round(value / most * 30 + 2, 1),
        )
        for place, value in enumerate(values)
    )
    return _SPARK.format(told=f"sizes, the latest last: {', '.join(map(str, values))}", bars=bars)
