"""Mapped stages: each item an attempt of its own, resumable by itself, its results gathered in order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from service.db.steering import Resume
from service.db.views import Views
from service.model import RunState
from stages import Event, Permanent, Pipeline, Retry, StageContext, Transient, stage
from tests.db.daemons import daemon, reached, settings, start
from tests.db.writing import rows

calls: Counter[int] = Counter()
broken: set[int] = set()


@pytest.fixture(autouse=True)
def anew() -> None:
    calls.clear()
    broken.clear()


@stage
async def files(event: Event) -> list[int]:
    return list(range(event.data))


@stage(map="files", at_once=8, retry=Retry(max_attempts=3, initial_s=0.01))
async def score(files: int, ctx: StageContext) -> int:
    assert ctx.item == files
    calls[files] += 1
    if files in broken:
        raise Permanent(f"item {files} is broken")
    if files == 3 and calls[files] < 3:
        raise Transient("not yet")
    ctx.record_metrics(value=files)
    return files * 2


@stage(map="score")
async def halve(score: int) -> float:
    return score / 2


@stage
async def total(halve: list[float], score: list[int]) -> list[float]:
    return [*halve, sum(score)]


mapped = Pipeline("mapped", [files, score, halve, total])


async def test_the_results_of_the_items_are_one_list_in_their_order(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), mapped) as one:
        run = await start(one, "mapped", "1", 20)
        assert await reached(one, run) is RunState.SUCCEEDED
    [row] = await rows(database, "select output_inline from attempts where stage = 'total'")
    assert row["output_inline"] == b"[" + b",".join(b"%d.0" % n for n in range(20)) + b",380]"
    by_item = {n: 3 if n == 3 else 1 for n in range(20)}
    assert calls == by_item
    attempts = await rows(database, "select item, count(*) from attempts where stage = 'score' group by item")
    assert dict(map(tuple, attempts)) == {-1: 1, **by_item}
    [whole] = await rows(database, "select output_codec, metrics from attempts where stage = 'score' and item = -1")
    assert (whole["output_codec"], whole["metrics"]) == ("gathered", b'{"value":9.5}')


async def test_a_resumed_run_makes_only_the_items_that_have_no_result(database: str, tmp_path: Path) -> None:
    broken.add(5)
    async with daemon(settings(database, tmp_path), mapped) as one:
        run = await start(one, "mapped", "1", 10)
        assert await reached(one, run) is RunState.FAILED
        [row] = await rows(database, "select failure from runs")
        assert b"item 5: a permanent failure" in row["failure"]
        [listed] = (await Views(one.reads).runs(limit=1))["runs"]
        assert listed["error"] == "Permanent: item 5 is broken"
        done = {n for n in range(10) if n != 5}
        broken.clear()
        await one.writer.submit(Resume(run, "kim"))
        assert await reached(one, run, RunState.SUCCEEDED, RunState.FAILED) is RunState.SUCCEEDED
    assert calls == {n: 3 if n == 3 else 1 for n in done} | {5: 2}


async def test_another_run_computes_only_the_items_that_are_new(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), mapped) as one:
        for event_id, count in (("1", 4), ("2", 6)):
            assert await reached(one, await start(one, "mapped", event_id, count)) is RunState.SUCCEEDED
    assert calls == {0: 1, 1: 1, 2: 1, 3: 3, 4: 1, 5: 1}


async def test_an_empty_list_is_an_empty_list(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), mapped) as one:
        assert await reached(one, await start(one, "mapped", "1", 0)) is RunState.SUCCEEDED
    [row] = await rows(database, "select output_inline from attempts where stage = 'total'")
    assert row["output_inline"] == b"[0]"


async def test_what_is_no_list_fails_the_run_for_good_and_says_so(database: str, tmp_path: Path) -> None:
    @stage
    async def number(event: Event):
        return 7

    @stage(map="number")
    async def each(number: int) -> int:
        return number

    async with daemon(settings(database, tmp_path), Pipeline("no-list", [number, each])) as one:
        assert await reached(one, await start(one, "no-list", "1")) is RunState.FAILED
    [row] = await rows(database, "select failure from attempts where stage = 'each'")
    assert b"which is a int: return a list" in row["failure"]


async def test_thousands_of_items(database: str, tmp_path: Path) -> None:
    @stage(map="files", at_once=64)
    async def touch(files: int) -> int:
        return files

    @stage
    async def count(touch: list[int]) -> int:
        return sum(touch)

    many = Pipeline("many", [files, touch, count])
    async with daemon(settings(database, tmp_path), many) as one:
        assert await reached(one, await start(one, "many", "1", 3000)) is RunState.SUCCEEDED
    [row] = await rows(database, "select output_inline from attempts where stage = 'count'")
    assert row["output_inline"] == b"%d" % sum(range(3000))
