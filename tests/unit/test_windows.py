"""Windows are made of the records and their order alone: however often, and from wherever, they are folded."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers.stream.aggregates import Aggregate, Count, Max, Mean, Min, Sum, Unusable
from triggers.stream.windows import Closed, Mark, Reading, Row, Shape, Windows, believable

SHAPE = Shape(1000, 500, {"n": Count(), "mean": Mean("x"), "sum": Sum("x")}, "shape")
BLANK = Mark(0, 0)

Told = list[tuple[int, dict[bytes, dict[str, object]]]]


def reading(offset: int, time_ms: int, key: str = "a", number: float | None = 1.0) -> Reading:
    return Reading(offset, time_ms, orjson.dumps(key), [1, number, number])


def fresh(mark: Mark = BLANK, reached: int | None = None) -> Windows:
    return Windows(SHAPE, mark, mark.floor if reached is None else reached)


def told(closed: Sequence[Closed]) -> Told:
    return [(one.start_ms, {key: SHAPE.values(row) for key, row in one.rows.items()}) for one in closed]


def fold_all(windows: Windows, readings: Sequence[Reading]) -> Told:
    """What is told of all windows that close over `readings`, and of those left when all are closed."""
    for one in readings:
        windows.fold(one)
    windows.close_all()
    cut = windows.cut()
    return told(cut.closed) if cut else []


def test_records_out_of_order_are_in_their_window_until_it_closes() -> None:
    windows = fresh()
    times = [100, 900, 1_300, 200, 1_499, 999, 1_500, 300]
    assert [windows.fold(reading(at, time)) for at, time in enumerate(times)] == [True] * 7 + [False]
    cut = windows.cut()
    assert cut is not None
    assert told(cut.closed) == [(0, {b'"a"': {"n": 4, "mean": 1.0, "sum": 4.0}})]
    assert (cut.mark.next, cut.mark.floor, cut.mark.open_records, cut.mark.late) == (8, 2, 3, 1)


def test_a_record_that_comes_twice_counts_once() -> None:
    readings = [reading(at, at * 100, number=at) for at in range(30)]
    twice = [one for at, two in enumerate(readings) for one in (two, *readings[max(0, at - 3) : at])]
    assert fold_all(fresh(), twice) == fold_all(fresh(), readings)


def test_keys_are_told_apart_as_json_does() -> None:
    windows = fresh()
    for at, key in enumerate([1, 1.0, True, "1", None]):
        windows.fold(Reading(at, 0, orjson.dumps(key), [1, None, None]))
    windows.close_all()
    [closed] = windows.sealed
    assert [(orjson.loads(key), row.count) for key, row in closed.rows.items()] == [
        *(("1", 1), (1, 1), (1.0, 1), (None, 1), (True, 1))
    ]


def test_nothing_new_is_nothing_to_store() -> None:
    windows = fresh()
    windows.fold(reading(0, 0))
    assert windows.cut() is not None
    assert windows.cut() is None


def test_a_quiet_partition_closes_its_windows_and_what_follows_is_late() -> None:
    windows = fresh()
    windows.fold(reading(0, 100))
    windows.close_all()
    assert [one.start_ms for one in windows.sealed] == [0]
    assert not windows.fold(reading(1, 101))
    assert windows.fold(reading(2, 1_600))


def test_a_mark_is_kept_as_text_and_a_bare_offset_is_a_beginning() -> None:
    mark = Mark(9, 4, 1234, 3, 2, 1, "shape")
    assert Mark.of(mark.as_position()) == mark
    assert Mark.of("7") == Mark(7, 7)


records = st.lists(
    st.tuples(st.integers(0, 6_000), st.sampled_from("abc"), st.one_of(st.none(), st.integers(-9, 9))), max_size=60
)


@settings(deadline=None)
@given(records, st.randoms(use_true_random=False))
def test_however_often_it_is_cut_killed_and_begun_again_the_windows_are_the_same(
    rows: list[tuple[int, str, int | None]], chance: random.Random
) -> None:
    readings = [reading(at, time, key, number) for at, (time, key, number) in enumerate(rows)]
    calm = fresh()
    expected = fold_all(calm, readings)
    found: Told = []
    mark, kept, windows, at = BLANK, {}, fresh(), 0
    while at < len(readings):
        windows.fold(readings[at])
        at += 1
        if chance.random() < 0.3:
            cut = windows.cut()
            if cut is not None:
                found += told(cut.closed)
                mark = Mark.of(cut.mark.as_position())
                kept = {start: orjson.dumps(rows_as_json(rows_)) for start, rows_ in windows.open.items()}
        if chance.random() < 0.2:
            windows = begin_again(mark, kept if chance.random() < 0.5 else {})
            at = windows.reached
    windows.close_all()
    cut = windows.cut()
    found += told(cut.closed) if cut else []
    assert found == expected
    assert windows.late == calm.late


def rows_as_json(rows: dict[bytes, Row]) -> list[list[object]]:
    return [[key.decode(), row.first, row.last, row.count, row.states] for key, row in rows.items()]


def begin_again(mark: Mark, kept: dict[int, bytes]) -> Windows:
    """As after a crash: from the mark, and from the rows where they are all there."""
    rows = [(start, key.encode(), Row(*row)) for start, text in kept.items() for key, *row in orjson.loads(text)]
    if believable(mark, SHAPE, [(start, row) for start, _, row in rows]):
        windows = fresh(mark, mark.next)
        windows.restore(rows)
        return windows
    return fresh(mark)


def test_rows_are_believed_only_when_they_are_all_there_and_none_is_newer() -> None:
    mark = Mark(next=10, floor=2, watermark_ms=2_000, open_records=5, shape="shape")
    rows = [(1_000, Row(2, 6, 3, [])), (2_000, Row(4, 9, 2, [])), (0, Row(0, 1, 7, []))]
    assert believable(mark, SHAPE, rows)
    assert not believable(mark, SHAPE, rows[1:])
    assert not believable(mark, SHAPE, [*rows[1:], (1_000, Row(2, 5, 2, []))])
    assert not believable(mark, SHAPE, [rows[0], (2_000, Row(4, 10, 2, []))])
    assert not believable(replace(mark, shape="other"), SHAPE, rows)


def test_while_it_folds_again_nothing_is_told_or_closed() -> None:
    mark = Mark(next=5, floor=2, watermark_ms=400, open_records=3, shape="shape")
    windows = fresh(mark)
    windows.fold(reading(2, 100))
    windows.close_all()
    assert windows.is_behind
    assert windows.cut() is None
    for at in (3, 4):
        windows.fold(reading(at, 400))
    assert not windows.is_behind
    assert windows.cut() is None


def test_results() -> None:
    numbers: list[float] = [3, 1.5, -2]
    found = []
    aggregates: list[Aggregate] = [Count("x"), Sum("x"), Mean("x"), Min("x"), Max("x")]
    for one in aggregates:
        state = one.begin()
        for number in numbers:
            state = one.fold(state, number)
        found.append((one.result(state), one.result(one.begin())))
    assert found == [(3, 0), (2.5, 0), (2.5 / 3, None), (-2, None), (3, None)]


def test_a_sum_stays_whole_while_json_holds_it() -> None:
    assert Sum("x").fold(2**53 - 1, 1) == 2**53
    assert isinstance(Sum("x").fold(2**53, 1), float)


@pytest.mark.parametrize("value", ["7", {}, [1], 1e101, 10**110])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(Unusable):
        Mean("x").number(value)


def test_true_and_false_are_one_and_zero_and_null_is_left_out() -> None:
    assert [Mean("x").number(value) for value in (True, False, None, 2)] == [1, 0, None, 2]
    assert [Count("x").number(value) for value in ("text", False, None)] == [1, 1, None]
