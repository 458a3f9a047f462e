"""A measured value against its threshold, drawn."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT, ROOM = 240, 12, 1.15
_DRAWN = Markup(
    '<svg class="meter" viewBox="0 0 {w} {h}" role="img" aria-label="{told}" preserveAspectRatio="none">'
    '<rect class="back" width="{w}" height="{h}" rx="2"/>'
    '<rect class="value {look}" x="{x}" width="{value}" height="{h}" rx="2"/>{mark}</svg>'
)
_MARK = Markup('<line class="bound" x1="{x}" x2="{x}" y1="-1" y2="{below}"/>')


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
