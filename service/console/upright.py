"""The same graph from top to bottom, for a window that is narrow: a phone shows it without looking to the side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from service.console.graph import (
    BOX_H,
    BOX_W,
    DIP,
    GATE_H,
    MARGIN,
    Arrow,
    Box,
    Drawing,
    Drawn,
    Upstream,
    columns_of,
    draw,
    follows,
    rows_of,
    widths_of,
)

# What a phone has room for, and what is left between boxes above and beside each other.
ROOM, BELOW, BESIDE = 336, 30, 14
# How far from the left of a box arrows leave and enter it; what its gates are called stands right of that.
ENTRY, ASIDE = 36, 12
# What a gate is called needs no more: its sign and 18 characters, of which the last may be an ellipsis.
NAMED = 134

Gates = Mapping[Arrow, Sequence[str]]
Words = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Drawings:
    """A graph from left to right, and from top to bottom."""

    lying: Drawing
    upright: Drawing


def both(upstream: Upstream, gates: Gates, words: Words | None = None) -> Drawings:
    """See `draw`."""
    return Drawings(draw(upstream, gates, words), upright(upstream, gates, words))


def upright(upstream: Upstream, gates: Gates, words: Words | None = None) -> Drawing:
    """See `draw`. A gate's name begins where its arrow's point is."""
    columns = columns_of(upstream)
    rows = rows_of(upstream, columns)
    width = _width(columns, words or {}, max(rows.values(), default=0) + 1)
    tops = _tops(upstream, columns, gates)
    boxes = {
        name: Box(name, MARGIN + rows[name] * (width + BESIDE), tops[column], width) for name, column in columns.items()
    }
    arrows = [one for name in upstream for one in _into(boxes, columns, name, upstream, gates)]
    far = max((columns[one.target] - columns[one.source] for one in arrows), default=0)
    right = max((box.x for box in boxes.values()), default=MARGIN) + width + (DIP * far if far > 1 else 0)
    right = max([right, *(one.x + NAMED for one in arrows if one.gates)])
    bottom = max((box.y for box in boxes.values()), default=MARGIN) + BOX_H
    return Drawing(right + MARGIN, bottom + MARGIN, list(boxes.values()), arrows)


def _width(columns: Mapping[str, int], words: Words, abreast: int) -> float:
    """All boxes are as wide as the longest name needs, as far as there is room for those beside each other."""
    room = (ROOM - BESIDE * (abreast - 1)) / abreast
    return max(float(BOX_W), min(max(widths_of(columns, words)), room))


def _tops(upstream: Upstream, columns: Mapping[str, int], gates: Gates) -> list[float]:
    """Where the boxes of each column begin, which is a line here: there is room above for the gates of its arrows."""
    most = [0] * (max(columns.values(), default=0) + 1)
    for name, column in columns.items():
        most[column] = max(most[column], sum(len(gates.get((one, name), ())) for one in dict.fromkeys(upstream[name])))
    tops = [float(MARGIN)]
    for named in most[1:]:
        tops.append(tops[-1] + BOX_H + BELOW + named * GATE_H)
    return tops


def _into(
    boxes: Mapping[str, Box], columns: Mapping[str, int], name: str, upstream: Upstream, gates: Gates
) -> Iterator[Drawn]:
    """The arrows into a box; the names of their gates stand above each other."""
    target, named = boxes[name], 0
    for one in dict.fromkeys(upstream[name]):
        of_arrow = gates.get((one, name), ())
        far = columns[name] - columns[one]
        faint = not of_arrow and far > 1 and follows((one, name), upstream)
        path = _aside(boxes[one], target, far) if far > 1 else _down(boxes[one], target)
        yield Drawn(one, name, path, target.x + ENTRY + ASIDE, target.y - named * GATE_H, faint, of_arrow)
        named += len(of_arrow)


def _down(source: Box, target: Box) -> str:
    x1, y1, x2, y2 = source.x + ENTRY, source.y + BOX_H, target.x + ENTRY, target.y - 2
    middle = (y1 + y2) / 2
    return f"M{x1:g} {y1:g}C{x1:g} {middle:g} {x2:g} {middle:g} {x2:g} {y2:g}"


def _aside(source: Box, target: Box, far: int) -> str:
    """Around the boxes between, on the right."""
    x1, y1, x2, y2 = (
        source.x + source.width,
        source.y + BOX_H * 0.6,
        target.x + target.width + 2,
        target.y + BOX_H * 0.4,
    )
    bend = max(x1, x2) + DIP * far
    return f"M{x1:g} {y1:g}C{bend:g} {y1:g} {bend:g} {y2:g} {x2:g} {y2:g}"
