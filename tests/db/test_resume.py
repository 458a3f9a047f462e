"""Going on with a run that failed: as it was, with changes, from a stage, on other code; and giving it up."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from pydantic import BaseModel

from service.app import Daemon
from service.client import ApiError, Client
from service.model import RunState
from service.settings import Role
from stages import Event, Permanent, Pipeline, stage
from tests.db.daemons import attempts, daemon, reached, settings, start
from tests.db.writing import rows

calls: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def anew() -> None:
    calls.clear()


class Params(BaseModel):
    """What the last stages take."""

    trees: int = 10
    fail: bool = True


@stage
async def ingest(event: Event) -> int:
    calls["ingest"] += 1
    return 1


@stage
async def features(ingest: int) -> int:
    calls["features"] += 1
    return ingest + 1


@stage(reuse="run")
async def train(features: int, params: Params) -> int:
    calls["train"] += 1
    return features * params.trees


@stage(reuse="run")
async def size(train: int) -> int:
    calls["size"] += 1
    return train // 1000


@stage
async def deploy(size: int, params: Params) -> int:
    calls["deploy"] += 1
    if params.fail:
        raise Permanent("not allowed")
    return size


pipeline = Pipeline("p", [ingest, features, train, size, deploy])


async def failed(one: Daemon) -> tuple[int, Client]:
    run = await start(one, "p", "1")
    assert await reached(one, run) is RunState.FAILED
    calls.clear()
    return run, Client(one.address)


async def resumed(one: Daemon, client: Client, run: int, state: RunState, **changes: object) -> dict[str, str]:
    """Resume, wait for the end, and return what was planned, by stage."""
    answer = await asyncio.to_thread(client.resume, run, "kim", **changes)
    assert await reached(one, run) is state
    return {told["stage"]: told["action"] for told in answer["plan"]}


async def test_a_changed_parameter_makes_again_what_takes_it_and_what_comes_out_otherwise(
    database: str, tmp_path: Path
) -> None:
    async with daemon(settings(database, tmp_path, *Role), pipeline) as one:
        run, client = await failed(one)
        told = await asyncio.to_thread(client.resume, run, params={"fail": False, "trees": 20}, dry_run=True)
        assert (told["state"], calls) == ("failed", {})
        why = {stage["stage"]: (stage["action"], stage["why"]) for stage in told["plan"]}
        assert why["features"] == ("keep", "finished, and nothing it is made of has changed")
        assert why["train"] == ("again", "parameters changed: fail, trees")
        assert why["size"] == ("again", "train may come out otherwise; the result is kept where not")
        assert why["deploy"] == ("run", "it is not finished")
        plan = await resumed(one, client, run, RunState.SUCCEEDED, params={"fail": False, "trees": 20})
        done = await attempts(one, run)
    assert plan == {"ingest": "keep", "features": "keep", "train": "again", "size": "again", "deploy": "run"}
    assert calls == {"train": 1, "size": 1, "deploy": 1}
    assert done[-3:] == [("train", 2, "succeeded"), ("size", 2, "succeeded"), ("deploy", 2, "succeeded")]
    [action] = await rows(database, "select action, by, detail from run_actions")
    assert (action["action"], action["by"]) == ("amended", "kim")
    assert b'"trees":{"from":10,"to":20}' in action["detail"]


async def test_what_comes_out_the_same_keeps_what_follows(database: str, tmp_path: Path) -> None:
    @stage(reuse="run")
    async def train(features: int, params: Params) -> int:
        calls["train"] += 1
        return 5

    steady = Pipeline("p", [ingest, features, train, size, deploy])
    async with daemon(settings(database, tmp_path, *Role), steady) as one:
        run, client = await failed(one)
        await resumed(one, client, run, RunState.SUCCEEDED, params={"fail": False})
        done = await attempts(one, run)
    assert calls == {"train": 1, "deploy": 1}
    assert ("size", 2, "reused") in done


async def test_from_a_stage_on_all_is_made_again_whatever_is_known(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, *Role), pipeline) as one:
        run, client = await failed(one)
        plan = await resumed(one, client, run, RunState.FAILED, since="features")
        assert calls == {"features": 1, "train": 1, "size": 1, "deploy": 1}
        assert plan["ingest"] == "keep"
        assert {plan[name] for name in ("features", "train", "size")} == {"again"}
        with pytest.raises(ApiError, match=r"has no stage .feature.; it has .*did you mean .features.") as caught:
            await asyncio.to_thread(client.resume, run, since="feature")
        assert caught.value.status == 422
    voids = await rows(database, "select distinct void from attempts where void is not null")
    assert [row["void"] for row in voids] == ["forced"]


async def test_other_code_needs_a_word_and_reuses_what_still_fits(database: str, tmp_path: Path) -> None:
    given = settings(database, tmp_path, *Role)
    async with daemon(given, pipeline) as one:
        run, _ = await failed(one)

    @stage(reuse="run")
    async def train(features: int, params: Params) -> int:
        calls["train"] += 1
        return params.trees * features

    @stage
    async def deploy(size: int) -> int:
        return size

    mended = Pipeline("p", [ingest, features, train, size, deploy])
    async with daemon(given, mended) as one:
        client = Client(one.address)
        with pytest.raises(ApiError, match=f"tidemill resume {run} --on latest") as caught:
            await asyncio.to_thread(client.resume, run)
        assert caught.value.status == 409
        told = await asyncio.to_thread(client.resume, run, on="latest", dry_run=True)
        why = {stage["stage"]: (stage["action"], stage["why"]) for stage in told["plan"]}
        assert why["train"] == ("again", f"its code changed since version {pipeline.version}")
        assert why["features"][0] == "keep"
        await resumed(one, client, run, RunState.SUCCEEDED, on="latest")
        done = await attempts(one, run)
    assert calls == {"train": 1}
    assert done[-3:] == [("train", 2, "succeeded"), ("size", 2, "reused"), ("deploy", 2, "succeeded")]
    [row] = await rows(database, "select version from runs")
    assert row["version"] == mended.version


async def test_a_bad_parameter_is_refused_and_changes_nothing(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, *Role), pipeline) as one:
        run, client = await failed(one)
        for wrong in ({"trees": "many"}, {"tres": 1}):
            with pytest.raises(ApiError) as caught:
                await asyncio.to_thread(client.resume, run, params=wrong)
            assert caught.value.status == 422
        [row] = await rows(database, "select state, params from runs")
    assert (row["state"], row["params"]) == ("failed", b'{"trees":10,"fail":true}')


async def test_a_run_given_up_leaves_the_queue_and_may_still_come_back(database: str, tmp_path: Path) -> None:
    in_review = "select from runs where state = 'failed' and abandoned_at is null"
    async with daemon(settings(database, tmp_path, *Role), pipeline) as one:
        run, client = await failed(one)
        for _ in range(2):
            answer = await asyncio.to_thread(client.abandon, run, "it was a test", "kim")
            assert answer == {"run": run, "state": "failed"}
        assert await rows(database, in_review) == []
        told = await asyncio.to_thread(client.resume, run, dry_run=True)
        assert told["note"].startswith("kim gave it up on ")
        assert told["note"].endswith("(it was a test): resuming takes that back")
        await resumed(one, client, run, RunState.FAILED)
        assert len(await rows(database, in_review)) == 1
        with pytest.raises(ApiError, match="is failed"):
            await asyncio.to_thread(client.cancel, run)
    told = [row["action"] for row in await rows(database, "select action from run_actions order by seq")]
    assert told == ["abandoned", "resumed"]
