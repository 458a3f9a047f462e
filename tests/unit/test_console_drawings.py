"""What the console draws: graphs, times and meters, from data alone."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.console.gantt import WIDTH, chart
from service.console.graph import BOX_H, BOX_W, MOST_W, Drawing, draw
from service.console.meter import meter
from service.console.timeline import timeline
from service.console.upright import upright

Way = Callable[..., Drawing]
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def test_a_chain_is_drawn_from_left_to_right_with_its_gates_above() -> None:
    drawing = draw({"a": [], "b": ["a"], "c": ["b"]}, {("a", "b"): ["fresh", "sound"]})
    a, b, c = drawing.boxes
    assert a.y == b.y == c.y
    assert a.x + BOX_W < b.x < b.x + BOX_W < c.x
    first, second = drawing.arrows
    assert first.gates == ["fresh", "sound"]
    assert a.x + BOX_W < first.x < b.x
    assert b.x - (a.x + BOX_W) > c.x - (b.x + BOX_W), "there is room for a gate where one stands"
    assert second.gates == ()
    # Both labels fit above the arrow.
    assert first.y - 9 - 17 - 12 >= 0


def test_what_follows_from_other_arrows_is_faint_and_goes_below() -> None:
    drawing = draw({"a": [], "b": ["a"], "c": ["a", "b"]}, {})
    faint = {(one.source, one.target): one.faint for one in drawing.arrows}
    assert faint == {("a", "b"): False, ("a", "c"): True, ("b", "c"): False}
    box = drawing.boxes[0]
    assert drawing.height > box.y + BOX_H + 20


def test_a_gate_keeps_its_arrow_from_fading() -> None:
    drawing = draw({"a": [], "b": ["a"], "c": ["a", "b"]}, {("a", "c"): ["g"]})
    assert not next(one for one in drawing.arrows if one.gates).faint


@pytest.mark.parametrize("way", [draw, upright])
def test_nothing_is_drawn_of_nothing(way: Way) -> None:
    drawing = way({}, {})
    assert (drawing.boxes, drawing.arrows) == ([], [])
    assert drawing.width > 0 < drawing.height


def test_the_six_stages_stand_below_each_other_on_a_phone_with_their_gates_between() -> None:
    names = ["ingest", "features", "train", "evaluate", "register", "deploy"]
    gates = {arrow: ["schema", "fresh"] for arrow in pairwise(names)}
    drawing = upright({name: names[max(at - 1, 0) : at] for at, name in enumerate(names)}, gates)
    assert drawing.width <= 350
    assert len({box.x for box in drawing.boxes}) == 1
    for arrow, (above, below) in zip(drawing.arrows, pairwise(drawing.boxes), strict=True):
        # The higher of the two labels is clear of the box above.
        assert above.y + BOX_H < arrow.y - 9 - 17 - 12 < arrow.y <= below.y


def test_what_a_gate_is_called_is_not_cut_where_boxes_are_narrower() -> None:
    drawing = upright({"a": [], "b": ["a"]}, {("a", "b"): ["evaluate-metrics_above-1"]})
    (arrow,) = drawing.arrows
    assert arrow.x + 20 * 6.6 <= drawing.width
    assert upright({"a": [], "b": ["a"]}, {}).width < drawing.width, "no room is left for a gate that is not there"


def test_gates_of_two_arrows_into_one_box_stand_above_each_other() -> None:
    drawing = upright({"a": [], "b": [], "c": ["a", "b"]}, {("a", "c"): ["one", "two"], ("b", "c"): ["three"]})
    first, second = drawing.arrows
    assert first.x == second.x
    assert first.y - second.y == 2 * 17


def test_a_box_is_as_wide_as_its_name_needs_up_to_a_bound() -> None:
    longest = "register_quarterly_revenue"
    usual, long, longer = draw({"a": [], longest: ["a"], "b" * 200: [longest]}, {}).boxes
    assert usual.width == BOX_W < long.width < longer.width == MOST_W
    assert long.holds >= len(longest)
    assert 30 <= longer.holds < 200


def test_a_box_is_as_wide_as_the_words_in_it() -> None:
    drawing = draw({"a": []}, {}, {"a": ("short", "a longer line below it")})
    assert drawing.boxes[0].holds >= len("a longer line below it")
    assert drawing.width > drawing.boxes[0].width > BOX_W


@st.composite
def graphs(some: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{number}" + "_" * some(st.integers(0, 60)) for number in range(some(st.integers(1, 12)))]
    return {
        name: some(st.lists(st.sampled_from(names[:number]), unique=True, max_size=3)) if number else []
        for number, name in enumerate(names)
    }


@pytest.mark.parametrize("way", [draw, upright])
@given(upstream=graphs(), some=st.data())
def test_boxes_never_touch_and_everything_is_inside(
    way: Way, upstream: dict[str, list[str]], some: st.DataObject
) -> None:
    arrows = [(source, name) for name, sources in upstream.items() for source in sources]
    gated = some.draw(st.lists(st.sampled_from(arrows), unique=True, max_size=4)) if arrows else []
    drawing = way(upstream, {arrow: ["g"] for arrow in gated})
    boxes = {box.name: box for box in drawing.boxes}
    for one in drawing.boxes:
        assert 0 <= one.x <= drawing.width - one.width
        assert 0 <= one.y <= drawing.height - BOX_H
        for other in drawing.boxes:
            left = min(one, other, key=lambda box: box.x)
            apart = abs(one.x - other.x) >= left.width or abs(one.y - other.y) >= BOX_H
            assert one is other or apart
    assert {(one.source, one.target) for one in drawing.arrows} == set(arrows)
    for arrow in drawing.arrows:
        source, target = boxes[arrow.source], boxes[arrow.target]
        assert source.x + source.width <= target.x or source.y + BOX_H <= target.y
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", arrow.path)]
        assert all(0 <= x <= drawing.width for x in numbers[::2])
        # Of a curve below the boxes two points are where it is drawn to, and not where it is drawn.
        assert all(0 <= y <= drawing.height for y in (numbers[1], numbers[-1]))


def tried(start: float, end: float | None, state: str = "succeeded") -> dict[str, Any]:
    return {"state": state, "started_at": at(start), "finished_at": None if end is None else at(end)}


def test_times_of_a_run_are_bars_on_one_line() -> None:
    gate = {
        "name": "ok",
        "target": "b",
        "state": "passed",
        "history": [
            {"state": "waiting", "decided_at": at(40)},
            {"state": "passed", "decided_at": at(90)},
        ],
    }
    run: Any = {
        "queued_at": at(0),
        "started_at": at(10),
        "finished_at": at(100),
        "gates": [gate, {**gate, "name": "checked", "history": [{"state": "passed", "decided_at": at(40)}]}],
        "stages": [
            {"name": "a", "attempts": [tried(10, 20, "failed"), tried(30, 40)]},
            {"name": "b", "attempts": [tried(90, 100), tried(100, 100, "reused")]},
        ],
    }
    drawn = chart(run, at(500))
    assert drawn.span_s == 100
    found = {line.name: [(bar.state, bar.x, bar.width) for bar in line.bars] for line in drawn.lines}
    assert found == {
        "in the queue": [("queued", 0, 100)],
        "a": [("failed", 100, 100), ("succeeded", 300, 100)],
        "gate ok": [("waiting", 400, 500)],
        "b": [("succeeded", 900, 100)],
    }
    assert [line.took_s for line in drawn.lines] == [10, 20, 50, 10]


@pytest.mark.parametrize("now", [0.0, 0.001, 7.0])
def test_what_goes_on_lasts_until_now_and_stays_inside(now: float) -> None:
    run: Any = {
        "queued_at": at(0),
        "started_at": None if now < 1 else at(1),
        "finished_at": None,
        "gates": [
            {"name": "g", "target": "a", "state": "waiting", "history": [{"state": "waiting", "decided_at": at(0)}]}
        ],
        "stages": [{"name": "a", "attempts": [tried(2, None, "running")] if now > 2 else []}],
    }
    for line in chart(run, at(now)).lines:
        for bar in line.bars:
            assert 0 <= bar.x <= bar.x + bar.width <= WIDTH + 0.1
            assert bar.width > 0


@pytest.mark.parametrize(
    ("value", "threshold", "told"),
    [(0.8, 0.5, "0.8, threshold 0.5"), (-3, 2, "-3, threshold 2"), (0, 0, "0, threshold 0"), (5, None, "5")],
)
def test_a_meter_says_its_numbers(value: float, threshold: float | None, told: str) -> None:
    drawn = str(meter(value, threshold))
    assert f'aria-label="{told}"' in drawn
    assert ("<line" in drawn) is (threshold is not None)
    for x in re.findall(r' x1?="([^"]+)"', drawn):
        assert 0 <= float(x) <= 240


@pytest.mark.parametrize("value", [None, "0.5", math.nan, math.inf, True, [1]])
def test_what_is_no_number_has_no_meter(value: Any) -> None:
    assert str(meter(value, 0.5)) == ""
    assert "<line" not in str(meter(1.0, value))


def tick(seconds: float, fate: str | None = "ran", run: int | None = None) -> Any:
    return {"due_at": at(seconds), "local": "", "fate": fate, "reason": "", "run": run, "before": False}


def test_ticks_stand_where_they_are_due_and_tell_how_their_runs_stand() -> None:
    past = [tick(0, run=1), tick(10, run=2), tick(40, fate=None), tick(50, "coalesced")]
    line = timeline(past, [at(100)], at(75), {1: "failed"})
    assert line is not None
    assert (line.begin, line.end) == (at(0), at(100))
    assert [mark.state for mark in line.marks] == ["failed", "ran", "", "coalesced", None]
    assert [mark.ran for mark in line.marks] == [True, True, False, False, False]
    first, second, *_, last = (mark.x for mark in line.marks)
    assert second - first == pytest.approx((last - first) / 10, abs=0.1)
    assert line.now_x == pytest.approx(first + (last - first) * 0.75, abs=0.1)


def test_without_a_tick_there_is_no_line() -> None:
    assert timeline([], [], at(0), {}) is None
    assert timeline([tick(0)], [], at(0), {}) is None
