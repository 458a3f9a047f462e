"""Where the stages of a pipeline are drawn: left to right, each behind all it needs; gates above the arrows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A box is as wide as the longest name in its column needs, from the first of these to the second.
BOX_W, MOST_W, BOX_H = 128, 280, 44
PAD, GLYPH = 12, 7.8
GAP_Y, NARROW, GATED = 40, 48, 112
MARGIN, GATE_H, DIP = 8, 17, 13

Upstream = Mapping[str, Sequence[str]]
Arrow = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Box:
    """A stage: its name, its upper left corner, and its width."""

    name: str
    x: float
    y: float
    width: float

    @property
    def holds(self) -> int:
        """How many characters a line in it may have."""
        return int((self.width - 2 * PAD) / GLYPH)


@dataclass(frozen=True, slots=True)
class Drawn:
    """An arrow as a path, and the point its gates stand above. `faint`: what it says follows from others."""

    source: str
    target: str
    path: str
    x: float
    y: float
    faint: bool
    gates: Sequence[str]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A whole graph, in pixels."""

    width: float
    height: float
    boxes: Sequence[Box]
    arrows: Sequence[Drawn]


def draw(
    upstream: Upstream, gates: Mapping[Arrow, Sequence[str]], words: Mapping[str, Sequence[str]] | None = None
) -> Drawing:
    """The graph of stages (each with those it needs, in an order in which they may run). `words`: the lines that stand
    in each box, where that is not its name alone.
    """
    columns = columns_of(upstream)
    rows = rows_of(upstream, columns)
    most_gates = max((len(names) for names in gates.values()), default=0)
    top = MARGIN + max(0, most_gates * GATE_H + 4 - BOX_H // 2)
    widths = widths_of(columns, words or {})
    lefts = _lefts(columns, gates, widths)
    step = BOX_H + GAP_Y + max(0, most_gates - 1) * GATE_H
    boxes = {
        name: Box(name, lefts[column], top + rows[name] * step, widths[column]) for name, column in columns.items()
    }
    arrows = [
        _arrow(boxes, columns, (source, name), upstream, gates.get((source, name), ()))
        for name, sources in upstream.items()
        for source in dict.fromkeys(sources)
    ]
    depth = max((DIP * (columns[one.target] - columns[one.source]) for one in arrows if _below(one, boxes)), default=0)
    width = max((box.x + box.width for box in boxes.values()), default=BOX_W) + MARGIN
    height = max((box.y for box in boxes.values()), default=top) + BOX_H + depth + MARGIN
    return Drawing(width, height, list(boxes.values()), arrows)


def columns_of(upstream: Upstream) -> dict[str, int]:
    """How far each stands from where it begins: one more than the furthest of those it needs."""
    found: dict[str, int] = {}
    for name, sources in upstream.items():
        found[name] = max((found[source] + 1 for source in sources), default=0)
    return found


def rows_of(upstream: Upstream, columns: Mapping[str, int]) -> dict[str, int]:
    """In each column from top to bottom, as near as may be to those they need."""
    found: dict[str, int] = {}
    for column in range(max(columns.values(), default=-1) + 1):
        names = [name for name in upstream if columns[name] == column]
        wanted = {
            name: sum(found[source] for source in upstream[name]) / len(upstream[name]) if upstream[name] else 0
            for name in names
        }
        for row, name in enumerate(sorted(names, key=lambda name: wanted[name])):
            found[name] = row
    return found


def widths_of(columns: Mapping[str, int], words: Mapping[str, Sequence[str]]) -> list[float]:
    """How wide the boxes of each column are."""
    widths = [float(BOX_W)] * (max(columns.values(), default=0) + 1)
    for name, column in columns.items():
        longest = max(len(line) for line in words.get(name, (name,)))
        widths[column] = max(widths[column], min(math.ceil(longest * GLYPH) + 2 * PAD, MOST_W))
    return widths


def _lefts(columns: Mapping[str, int], gates: Mapping[Arrow, Sequence[str]], widths: Sequence[float]) -> list[float]:
    """Where each column begins: there is room for a gate where one stands before it."""
    gated = {columns[target] for (_, target), names in gates.items() if names and target in columns}
    lefts = [float(MARGIN)]
    for column in range(1, max(columns.values(), default=0) + 1):
        lefts.append(lefts[-1] + widths[column - 1] + (GATED if column in gated else NARROW))
    return lefts


def _arrow(
    boxes: Mapping[str, Box], columns: Mapping[str, int], arrow: Arrow, upstream: Upstream, gates: Sequence[str]
) -> Drawn:
    source, target = boxes[arrow[0]], boxes[arrow[1]]
    far = columns[arrow[1]] - columns[arrow[0]]
    faint = not gates and far > 1 and follows(arrow, upstream)
    if far > 1 and source.y == target.y and not gates:
        x1, x2, y = source.x + source.width * 0.6, target.x + target.width * 0.4, source.y + BOX_H
        low = y + DIP * far * 4 / 3
        return Drawn(*arrow, f"M{x1:g} {y:g}C{x1:g} {low:g} {x2:g} {low:g} {x2:g} {y + 2:g}", x1, low, faint, gates)
    x1, y1, x2, y2 = source.x + source.width, source.y + BOX_H / 2, target.x - 2, target.y + BOX_H / 2
    middle = (x1 + x2) / 2
    path = f"M{x1:g} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}"
    # The gap before the target is free of boxes, and so is where its gates stand.
    nearest = x2 - (GATED - 2) / 2 if far > 1 else middle
    return Drawn(*arrow, path, nearest, (y1 + y2) / 2 if far == 1 else y2, faint, gates)


def _below(arrow: Drawn, boxes: Mapping[str, Box]) -> bool:
    return arrow.y > boxes[arrow.source].y + BOX_H and arrow.path.count("C") == 1 and arrow.x < boxes[arrow.target].x


def follows(arrow: Arrow, upstream: Upstream) -> bool:
    """Whether the target needs the source also by way of other stages."""
    source, target = arrow
    ahead, seen = [one for one in upstream[target] if one != source], set[str]()
    while ahead:
        name = ahead.pop()
        if name == source:
            return True
        if name not in seen:
            seen.add(name)
            ahead += upstream.get(name, ())
    return False
