"""Resuming a run that failed inside a mapped stage: every item's key decides, whatever was changed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from service.app import Daemon
from service.client import Client
from service.model import RunState
from service.settings import Role
from stages import Event, Permanent, Pipeline, Retry, stage
from tests.db.daemons import daemon, reached, settings, start
from tests.db.writing import rows

calls: Counter[tuple[str, int]] = Counter()


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    calls.clear()
    yield
    calls.clear()


class Params(BaseModel):
    """What an item is made with."""

    k: int = 1
    bad: int = 3


@stage
async def src(event: Event) -> list[int]:
    return [1, 2, 3, 4]


@stage(map="src", retry=Retry(max_attempts=1))
async def item(src: int, params: Params) -> int:
    calls["item", src] += 1
    if src == params.bad:
        raise Permanent("bad")
    return src * params.k


@stage
async def total(item: list[int]) -> int:
    return sum(item)


pipeline = Pipeline("m", [src, item, total])
once = Counter({("item", n): 1 for n in (1, 2, 3, 4)})


async def failed(one: Daemon) -> tuple[int, Client]:
    run = await start(one, "m", "1")
    assert await reached(one, run) is RunState.FAILED
    calls.clear()
    return run, Client(one.address)


async def planned(client: Client, run: int, **changes: Any) -> dict[str, tuple[str, str]]:
    answer = await asyncio.to_thread(client.resume, run, "kim", dry_run=True, **changes)
    return {told["stage"]: (told["action"], told["why"]) for told in answer["plan"]}


async def resumed(one: Daemon, client: Client, run: int, **changes: Any) -> bytes:
    """Resume, wait for success, and return what `total` made."""
    await asyncio.to_thread(client.resume, run, "kim", **changes)
    assert await reached(one, run) is RunState.SUCCEEDED
    query = "select output_inline from attempts where run_id = $1 and stage = 'total' and void is null"
    [row] = await rows(one.dsn, query, run)
    made: bytes = row["output_inline"]
    return made


async def test_items_made_with_other_parameters_are_made_again(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, *Role), pipeline) as one:
        run, client = await failed(one)
        changes = {"params": {"k": 10, "bad": 0}}
        told = await planned(client, run, **changes)
        why = "it is not finished, of its 3 finished items 3 made again: parameters changed: bad, k"
        assert told["item"] == ("run", why)
        assert (await planned(client, run))["item"] == ("run", "it is not finished, its 3 finished items kept")
        assert calls == {}
        assert await resumed(one, client, run, **changes) == b"100"
        assert calls == once
    done = await rows(
        database, "select item, state, void from attempts where stage = 'item' and item >= 0 order by 1, 2"
    )
    made_again = [(n, "succeeded", void) for n in (0, 1, 3) for void in (None, "stale")]
    assert sorted(map(str, map(tuple, done))) == sorted(
        map(str, [*made_again, (2, "failed", None), (2, "succeeded", None)])
    )
    [action] = await rows(database, "select detail from run_actions")
    assert b'"items_again":{"item":3}' in action["detail"]


@pytest.mark.parametrize("since", ["src", "item"])
async def test_from_a_stage_on_makes_every_item_again(database: str, tmp_path: Path, since: str) -> None:
    """Also where the list comes out the same, and though the parameters are those of before."""
    async with daemon(settings(database, tmp_path, *Role), pipeline) as one:
        run, client = await failed(one)
        await asyncio.to_thread(client.resume, run, "kim", since=since)
        assert await reached(one, run) is RunState.FAILED
        assert calls == once
        action, why = (await planned(client, run, since=since))["item"]
    told = {"src": "it needs src, its 3 finished items too", "item": "asked for, its 3 finished items too"}
    assert (action, why) == ("again", told[since])


def changed_code() -> Pipeline:
    """The same pipeline with other code for the items."""

    @stage(map="src", retry=Retry(max_attempts=1))
    async def item(src: int, params: Params) -> int:
        calls["item", src] += 1
        return src * 100

    return Pipeline("m", [src, item, total])


async def test_items_of_other_code_are_made_again_and_the_report_tells_whose_each_is(
    database: str, tmp_path: Path
) -> None:
    given, mended = settings(database, tmp_path, *Role), changed_code()
    async with daemon(given, pipeline) as one:
        run, _ = await failed(one)
    async with daemon(given, mended) as one:
        client = Client(one.address)
        told = (await planned(client, run, on="latest"))["item"]
        why = f"of its 3 finished items 3 made again: its code changed since version {pipeline.version}"
        assert told == ("run", f"it is not finished, {why}")
        assert await resumed(one, client, run, on="latest") == b"1000"
        report = await asyncio.to_thread(client.report, run)
    assert calls == once
    [of_items] = [one["attempts"] for one in report["stages"] if one["stage"] == "item"]
    digests = {one.version: one.plan.stages["item"].code_digest for one in (pipeline, mended)}
    assert len(set(digests.values())) == 2
    assert {(tried["version"], tried["code_digest"]) for tried in of_items} == set(digests.items())
    counting = [tried for tried in of_items if tried["void"] is None and tried["state"] == "succeeded"]
    assert {tried["version"] for tried in counting} == {mended.version}
    assert len(counting) == 5


async def test_items_of_unchanged_code_are_kept_on_another_version(database: str, tmp_path: Path) -> None:
    @stage(map="src", retry=Retry(max_attempts=1))
    async def twice(src: int) -> int:
        calls["twice", src] += 1
        if src == 3 and calls["twice", 3] == 1:
            raise Permanent("not yet")
        return src * 2

    @stage
    async def total(twice: list[int]) -> int:
        return -sum(twice)

    @stage(name="total")
    async def mended_total(twice: list[int]) -> int:
        return sum(twice)

    given = settings(database, tmp_path, *Role)
    first, second = Pipeline("m", [src, twice, total]), Pipeline("m", [src, twice, mended_total])
    assert first.version != second.version
    async with daemon(given, first) as one:
        run = await start(one, "m", "1")
        assert await reached(one, run) is RunState.FAILED
    async with daemon(given, second) as one:
        client = Client(one.address)
        told = (await planned(client, run, on="latest"))["twice"]
        assert told == ("run", "it is not finished, its 3 finished items kept")
        assert await resumed(one, client, run, on="latest") == b"20"
    assert calls == {("twice", 1): 1, ("twice", 2): 1, ("twice", 3): 2, ("twice", 4): 1}


async def test_where_the_list_may_come_out_otherwise_the_keys_decide_later(database: str, tmp_path: Path) -> None:
    @stage
    async def src(event: Event) -> list[int]:
        return [1, 2, 5]

    given = settings(database, tmp_path, *Role)
    async with daemon(given, pipeline) as one:
        run, _ = await failed(one)
    async with daemon(given, Pipeline("m", [src, item, total])) as one:
        client = Client(one.address)
        told = (await planned(client, run, on="latest"))["item"]
        assert told[1] == "it is not finished, src may come out otherwise: its 3 finished items kept where not"
        assert await resumed(one, client, run, on="latest") == b"8"
    assert calls == {("item", 5): 1}


async def test_a_run_adopted_in_the_middle_of_a_list_by_other_code_has_items_of_one_code(
    database: str, tmp_path: Path
) -> None:
    """Nobody resumed it: its daemon died, and the next had other code. What the first made is set aside."""
    given, mended = settings(database, tmp_path, *Role), changed_code()
    async with daemon(given, pipeline) as one:
        run, _ = await failed(one)
    die = "update runs set state = 'queued', ready_at = now(), failure = null, finished_at = null returning id"
    await rows(database, die)
    await rows(database, "delete from attempts where state = 'failed' returning run_id")
    async with daemon(given, mended) as one:
        assert await reached(one, run) is RunState.SUCCEEDED
    assert calls == once
    [row] = await rows(database, "select output_inline from attempts where stage = 'total'")
    assert row["output_inline"] == b"1000"
    query = "select item, version from attempts where stage = 'item' and item >= 0 and void is null order by item"
    counting = await rows(database, query)
    assert [tuple(one) for one in counting] == [(n, mended.version) for n in range(4)]
