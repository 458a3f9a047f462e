"""The ticks of a schedule around now, on a line of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.shapes.backfills import TickShape

WIDTH = 320
# Room for the half of a bar that stands at an end.
EDGE = 4.0


@dataclass(frozen=True, slots=True)
class Mark:
    """A tick: where it stands, how that of the past stands or what became of it (None: it is to come), and whether it
    became a run.
    """

    x: float
    state: str | None
    ran: bool


@dataclass(frozen=True, slots=True)
class Timeline:
    """From `begin`, the first tick, to `end`, the last; `now_x` is where now lies between them."""

    begin: datetime
    end: datetime
    now_x: float
    marks: Sequence[Mark]


def timeline(
    past: Sequence[TickShape], coming: Sequence[datetime], at: datetime, states: Mapping[int, str]
) -> Timeline | None:
    """Past ticks and coming ones, each the oldest first; None where there is no time between the first and the last."""
    instants = [*(tick["due_at"] for tick in past), at, *coming]
    begin, end = min(instants), max(instants)
    span_s = (end - begin).total_seconds()
    if span_s <= 0:
        return None

    def place(instant: datetime) -> float:
        return round(EDGE + (instant - begin).total_seconds() / span_s * (WIDTH - 2 * EDGE), 1)

    marks = [Mark(place(tick["due_at"]), _stands(tick, states), tick["run"] is not None) for tick in past]
    return Timeline(begin, end, place(at), [*marks, *(Mark(place(due), None, ran=False) for due in coming)])


def _stands(tick: TickShape, states: Mapping[int, str]) -> str:
    run = tick["run"]
    return (states.get(run) if run is not None else None) or tick["fate"] or ""
