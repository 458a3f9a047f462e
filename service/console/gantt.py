"""When what of a run went on: attempts and waits, as bars on one line of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.shapes.answers import RunDetail
from service.shapes.gates import GateShape
from service.words.times import lasted

WIDTH, LEAST = 1000.0, 3.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A time, from `x` for `width` of `WIDTH`; `state` is how it looks, `says` what it is."""

    x: float
    width: float
    state: str
    says: str


@dataclass(frozen=True, slots=True)
class Line:
    """One stage or gate, and its times."""

    name: str
    bars: Sequence[Bar]
    took_s: float


@dataclass(frozen=True, slots=True)
class Chart:
    """All of them, on a line of time of so many seconds."""

    begin: datetime
    span_s: float
    lines: Sequence[Line]


def chart(run: RunDetail, now: datetime) -> Chart:
    """The times of a run up to now, or to its end."""
    begin = run["queued_at"]
    moments = [end for _, _, _, end in _times(run, now)]
    end = max([run["finished_at"] or now, begin, *moments])
    span_s = max((end - begin).total_seconds(), 0.001)
    lines: dict[str, list[tuple[str, datetime, datetime]]] = {}
    for name, state, start, stop in _times(run, now):
        lines.setdefault(name, []).append((state, start, stop))
    return Chart(begin, span_s, [_line(name, times, begin, span_s) for name, times in lines.items()])


def _times(run: RunDetail, now: datetime) -> Iterator[tuple[str, str, datetime, datetime]]:
    """Name, state, start and end of everything that took time, in the order of the graph."""
    yield "in the queue", "queued", run["queued_at"], run["started_at"] or run["finished_at"] or now
    over = run["finished_at"] or now
    for stage in run["stages"]:
        for gate in run["gates"]:
            if gate["target"] == stage["name"]:
                yield from _waits(gate, over)
        for tried in stage["attempts"]:
            if tried["state"] not in ("skipped", "reused"):
                yield stage["name"], tried["state"], tried["started_at"], tried["finished_at"] or over


def _waits(gate: GateShape, over: datetime) -> Iterator[tuple[str, str, datetime, datetime]]:
    """When a gate waited for somebody, each time up to what was decided."""
    for number, found in enumerate(gate["history"]):
        if found["state"] == "waiting":
            later = gate["history"][number + 1 :]
            stands = gate["state"] in ("waiting", "cancelled")
            end = later[0]["decided_at"] if later else over if stands else found["decided_at"]
            yield f"gate {gate['name']}", "waiting", found["decided_at"], end


def _line(name: str, times: Sequence[tuple[str, datetime, datetime]], begin: datetime, span_s: float) -> Line:
    bars = []
    for state, start, end in times:
        took_s = max((end - start).total_seconds(), 0.0)
        width = max(took_s / span_s * WIDTH, LEAST)
        x = min(max((start - begin).total_seconds() / span_s * WIDTH, 0.0), WIDTH - width)
        bars.append(Bar(round(max(x, 0.0), 1), round(min(width, WIDTH), 1), state, f"{state}, {lasted(took_s)}"))
    whole = sum(max((end - start).total_seconds(), 0.0) for _, start, end in times)
    return Line(name, bars, whole)
