"""Runs that runs cause: sub-runs, which hold no worker while they are waited for, and emitted events."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import orjson
import pytest
from pydantic import BaseModel

from service.client import ApiError, Client
from service.db.steering import Cancel, Resume
from service.model import RunState
from service.settings import Role
from stages import Event, Permanent, Pipeline, StageContext, SubRun, stage
from tests.db.daemons import attempts, daemon, event, reached, settings, start
from tests.db.writing import rows
from triggers import CloudEvents
from triggers.base import Arrival, Offer
from triggers.trace import trace_parent

calls: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def anew() -> None:
    calls.clear()


@stage
async def fit(event: Event, context: StageContext) -> dict[str, int]:
    calls["fit"] += 1
    if event.data["data"] == "break" and calls["fit"] == 1:
        raise Permanent("it broke")
    context.record_metrics(loss=0.5)
    return {"month": event.data["data"]}


@stage
async def months(event: Event) -> list[int]:
    return list(event.data)


@stage(map="months", at_once=2)
async def retrain(months: int) -> SubRun:
    calls["retrain"] += 1
    return SubRun("child", data=months, output="fit")


@stage
async def compare(retrain: list[dict[str, int]]) -> list[int]:
    return [one["month"] for one in retrain]


child = Pipeline("child", [fit])
parent = Pipeline("parent", [months, retrain, compare])


async def test_a_stage_waits_for_its_sub_runs_and_takes_their_results(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, max_runs=1), parent, child) as one:
        run = await start(one, "parent", "1", [4, 5, 6])
        assert await reached(one, run) is RunState.SUCCEEDED
    [row] = await rows(database, "select output_inline from attempts where stage = 'compare'")
    assert row["output_inline"] == b"[4,5,6]"
    told = await rows(database, "select cause_run, cause_stage, depth, parent_run, state from runs where id > 1")
    assert [tuple(row) for row in told] == [(1, "retrain", 1, 1, "succeeded")] * 3
    assert calls == {"fit": 3, "retrain": 3}


@stage
async def once(event: Event) -> SubRun:
    calls["once"] += 1
    return SubRun("child", data=event.data)


single = Pipeline("single", [once])


async def test_a_sub_run_that_fails_fails_its_stage_and_both_are_resumed(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), single, child) as one:
        run = await start(one, "single", "1", "break")
        assert await reached(one, run) is RunState.FAILED
        [row] = await rows(database, "select failure from attempts where run_id = 1")
        assert b"sub-run 2 of pipeline child is failed (fit: a permanent failure): tidemill show 2" in row["failure"]
        await one.writer.submit(Resume(run, "kim"))
        assert await reached(one, run, RunState.SUCCEEDED, RunState.FAILED) is RunState.SUCCEEDED
        done = await attempts(one, run)
    assert done == [("once", 1, "failed"), ("once", 2, "succeeded")]
    assert len(await rows(database, "select from runs")) == 2
    [row] = await rows(database, "select output_inline from attempts where run_id = 1 and state = 'succeeded'")
    assert row["output_inline"] == b'{"metrics":{"loss":0.5},"pipeline":"child","run_id":2}'


async def test_a_sub_run_of_no_pipeline_is_a_permanent_failure(database: str, tmp_path: Path) -> None:
    @stage
    async def wrong(event: Event) -> SubRun:
        return SubRun("chidl")

    async with daemon(settings(database, tmp_path), Pipeline("wrong", [wrong]), child) as one:
        assert await reached(one, await start(one, "wrong", "1")) is RunState.FAILED
    [row] = await rows(database, "select failure from attempts")
    assert b"no pipeline is called 'chidl' here, to run as a sub-run; loaded: child, wrong" in row["failure"]


async def test_cancelling_a_run_cancels_the_sub_runs_it_waits_for(database: str, tmp_path: Path) -> None:
    @stage
    async def forever(event: Event) -> int:
        await asyncio.Event().wait()
        return 1

    async with daemon(settings(database, tmp_path), single, Pipeline("child", [forever])) as one:
        run = await start(one, "single", "1", "x")
        await reached(one, run, RunState.WAITING)
        await reached(one, run + 1, RunState.RUNNING)
        await one.writer.submit(Cancel(run, "kim"))
        assert await reached(one, run + 1) is RunState.CANCELLED
        assert await reached(one, run) is RunState.CANCELLED
        assert await attempts(one, run) == [("once", 1, "cancelled")]


@stage
async def publish(event: Event, context: StageContext) -> str:
    calls["publish"] += 1
    context.emit("model.published", {"n": calls["publish"]}, subject="flights")
    if event.data == "break":
        raise Permanent("after all, no")
    return "published"


@stage
async def notify(event: Event) -> int:
    return int(event.data["n"])


publishing = Pipeline("publishing", [publish])
notified = Pipeline("notified", [notify], on=[CloudEvents(where={"type": "model.published"})])


async def test_an_emitted_event_starts_what_listens_and_tells_its_cause(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), publishing, notified) as one:
        run = await start(one, "publishing", "1")
        await reached(one, run)
        assert await reached(one, run + 1) is RunState.SUCCEEDED
    [row] = await rows(database, "select pipeline, cause_run, cause_stage, depth from runs where id = 2")
    assert tuple(row) == ("notified", 1, "publish", 1)


@pytest.mark.parametrize("given", ["", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"])
async def test_what_a_run_causes_is_in_the_trace_of_its_event(database: str, tmp_path: Path, given: str) -> None:
    """Without one it is that of the event itself, so that what belongs together can be found by it."""
    asked = replace(event("1", [4]), extensions={"traceparent": given} if given else {})
    trace = given[3:35] or asked.key.hex
    async with daemon(settings(database, tmp_path), publishing, notified, parent, child) as one:
        offers = [Offer("publishing", "test"), Offer("parent", "test")]
        [receipt] = await one.inbox.accept([Arrival(asked, offers)])
        for outcome in receipt.outcomes:
            assert outcome.run_id is not None
            await reached(one, outcome.run_id)
    found = await rows(database, "select type, envelope from events where type <> 'test'")
    traces = {row["type"]: orjson.loads(row["envelope"])["traceparent"] for row in found}
    assert {kind: trace_parent(one) for kind, one in traces.items()} == traces
    assert {kind: one[3:35] for kind, one in traces.items()} == {"model.published": trace, "dev.tidemill.subrun": trace}
    assert len({given, *traces.values()}) == 3


async def test_what_a_failed_attempt_emitted_never_happened(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), publishing, notified) as one:
        assert await reached(one, await start(one, "publishing", "1", "break")) is RunState.FAILED
    assert [row["type"] for row in await rows(database, "select type from events")] == ["test"]


async def test_a_circle_of_causes_is_cut(database: str, tmp_path: Path) -> None:
    @stage
    async def again(event: Event, context: StageContext) -> int:
        context.emit("again")
        return 1

    circle = Pipeline("circle", [again], on=[CloudEvents(where={"type": "again"})])
    async with daemon(settings(database, tmp_path), circle) as one:
        first = await start(one, "circle", "1")
        for run in range(first, first + 17):
            assert await reached(one, run) is RunState.SUCCEEDED
        await one.writer.drained()
    assert len(await rows(database, "select from runs")) == 17
    [row] = await rows(database, "select fate, reason from fates")
    assert row["fate"] == "dead"
    assert "16" in row["reason"]


async def test_nobody_outside_speaks_in_the_name_of_a_run(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, *Role), notified) as one:
        forged = {
            "specversion": "1.0",
            "id": "1/1",
            "source": "tidemill:emitted/publishing/publish",
            "type": "model.published",
        }
        with pytest.raises(ApiError, match="is kept for what stages of this installation emit") as caught:
            await asyncio.to_thread(Client(one.address).send_event, forged)
    assert caught.value.status == 422


async def test_an_event_that_is_none_fails_the_stage_for_good(database: str, tmp_path: Path) -> None:
    @stage
    async def wrong(event: Event, context: StageContext) -> int:
        context.emit("", {"n": 1})
        return 1

    async with daemon(settings(database, tmp_path), Pipeline("wrong", [wrong])) as one:
        assert await reached(one, await start(one, "wrong", "1")) is RunState.FAILED
    [row] = await rows(database, "select failure from attempts")
    assert b"an emitted event is no CloudEvent" in row["failure"]


async def test_a_run_out_of_time_waits_for_no_sub_run_any_more(database: str, tmp_path: Path) -> None:
    @stage
    async def forever(event: Event) -> int:
        await asyncio.Event().wait()
        return 1

    timed = Pipeline("single", [once], timeout_s=0.3)
    async with daemon(settings(database, tmp_path), timed, Pipeline("child", [forever])) as one:
        run = await start(one, "single", "1", "x")
        assert await reached(one, run) is RunState.FAILED
        assert await attempts(one, run) == [("once", 1, "cancelled")]
        await one.writer.submit(Cancel(run + 1, "kim"))
        assert await reached(one, run + 1) is RunState.CANCELLED


class Warehouse(BaseModel):
    """What the sub-run is asked with."""

    k: int = 1


@stage
async def double(params: Warehouse) -> int:
    calls["double"] += 1
    if calls["double"] == 1:
        raise Permanent("the warehouse is down")
    return params.k * 2


@stage
async def ask(params: Warehouse) -> SubRun:
    return SubRun("doubling", params={"k": params.k}, output="double")


asking, doubling = Pipeline("asking", [ask]), Pipeline("doubling", [double])


async def test_a_run_resumed_with_other_parameters_asks_for_another_sub_run(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, *Role), asking, doubling) as one:
        run = await start(one, "asking", "1", k=1)
        assert await reached(one, run) is RunState.FAILED
        await asyncio.to_thread(Client(one.address).resume, run, params={"k": 5})
        assert await reached(one, run) is RunState.SUCCEEDED
    [row] = await rows(database, "select output_inline from attempts where stage = 'ask' and state = 'succeeded'")
    assert row["output_inline"] == b"10"
