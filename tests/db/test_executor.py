"""Runs from their event to their end, in a whole daemon on a real database."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import BaseModel

from service.db.steering import Cancel, Resume
from service.db.votes import DecideGate
from service.model import GateState, RunState
from stages.base import StageContext, stage
from stages.errors import Permanent, Transient
from stages.gates import approved
from stages.gates.base import GateResult
from stages.pipeline import Pipeline
from stages.retry import Retry
from tests.db.daemons import attempts, daemon, reached, settings, start
from tests.db.writing import rows
from triggers.event import Event

calls: Counter[str] = Counter()
quick = Retry(max_attempts=3, initial_s=0.01)


@pytest.fixture(autouse=True)
def count_anew() -> None:
    calls.clear()


class Params(BaseModel):
    """What the test pipelines take."""

    factor: int = 2


@stage
async def ingest(event: Event) -> int:
    calls["ingest"] += 1
    return int(event.data)


@stage
def double(ingest: int, params: Params) -> int:
    calls["double"] += 1
    return ingest * params.factor


@stage
async def left(double: int) -> int:
    return double + 1


@stage
async def right(double: int) -> int:
    return double - 1


@stage(reuse="run")
def join(left: int, right: int, context: StageContext) -> list[int]:
    context.record_metrics(sum=left + right)
    context.logger.info("joined %s and %s", left, right)
    context.progress(1.0, "done")
    return [left, right]


diamond = Pipeline("diamond", [ingest, double, left, right, join])


async def test_every_stage_of_a_graph_runs_once_and_after_its_inputs(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), diamond) as one:
        run = await start(one, "diamond", "1", 5, factor=3)
        assert await reached(one, run) is RunState.SUCCEEDED
        done = await attempts(one, run)
        await one.writer.drained()
    assert sorted(done) == [(name, 1, "succeeded") for name in ("double", "ingest", "join", "left", "right")]
    [row] = await rows(database, "select output_inline, metrics from attempts where stage = 'join'")
    assert (row["output_inline"], row["metrics"]) == (b"[16,14]", b'{"sum":30.0}')
    told = await rows(database, "select level, message from stage_logs order by seq")
    assert [tuple(row) for row in told] == [("info", "joined 16 and 14"), ("progress", "100% done")]


async def test_a_stage_starts_only_after_its_inputs_are_durable(database: str, tmp_path: Path) -> None:
    seen: list[int] = []

    @stage
    async def look(double: int) -> int:
        seen.append(len(await rows(database, "select from attempts where stage = 'double' and state = 'succeeded'")))
        return double

    async with daemon(settings(database, tmp_path), Pipeline("looking", [ingest, double, look])) as one:
        await reached(one, await start(one, "looking", "1", 1))
    assert seen == [1]


async def test_a_result_under_a_known_key_is_not_computed_again_by_another_run(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), diamond) as one:
        for event_id in ("1", "2"):
            await reached(one, await start(one, "diamond", event_id, 5))
        third = await start(one, "diamond", "3", 5, factor=7)
        await reached(one, third)
        states = {(row["run_id"], row["stage"]): row for row in await rows(database, "select * from attempts")}
    assert calls == {"ingest": 3, "double": 2}
    assert states[2, "double"]["state"] == "reused"
    assert states[2, "double"]["reused_run"] == 1
    assert states[2, "double"]["made_at"] == states[1, "double"]["finished_at"]
    assert states[2, "join"]["state"] == "succeeded"
    assert states[3, "double"]["state"] == "succeeded"


async def test_a_transient_failure_is_retried_by_the_policy(database: str, tmp_path: Path) -> None:
    @stage(retry=quick)
    async def flaky(event: Event) -> int:
        calls["flaky"] += 1
        if calls["flaky"] < 3:
            raise Transient("not yet")
        return 1

    async with daemon(settings(database, tmp_path), Pipeline("flaky", [flaky])) as one:
        run = await start(one, "flaky", "1")
        assert await reached(one, run) is RunState.SUCCEEDED
        assert await attempts(one, run) == [("flaky", 1, "failed"), ("flaky", 2, "failed"), ("flaky", 3, "succeeded")]


async def test_a_retry_is_tried_when_it_is_due_and_not_before(database: str, tmp_path: Path) -> None:
    """However early its run was taken."""
    tried_at: list[float] = []

    @stage(retry=Retry(max_attempts=4, initial_s=0.03, factor=1.0, jitter=False))
    async def flaky(event: Event) -> None:
        tried_at.append(time.monotonic())
        if len(tried_at) < 4:
            raise Transient("not yet")

    async with daemon(settings(database, tmp_path), Pipeline("late", [flaky])) as one:
        run = await start(one, "late", "1")
        assert await reached(one, run) is RunState.SUCCEEDED
        told = await attempts(one, run)
    assert all(later - earlier >= 0.03 for earlier, later in pairwise(tried_at))
    assert [state for _, _, state in told] == ["failed", "failed", "failed", "succeeded"]


async def test_exhausted_retries_fail_the_run_and_resuming_starts_the_count_anew(database: str, tmp_path: Path) -> None:
    @stage
    def steady(event: Event) -> int:
        calls["steady"] += 1
        return 1

    @stage(retry=quick)
    async def down(steady: int) -> int:
        calls["down"] += 1
        if calls["down"] < 5:
            raise ConnectionError("refused")
        return steady

    async with daemon(settings(database, tmp_path), Pipeline("down", [steady, down])) as one:
        run = await start(one, "down", "1")
        assert await reached(one, run) is RunState.FAILED
        [failed] = await rows(database, "select failure from runs")
        assert b"failed 3 times" in failed["failure"]
        await one.writer.submit(Resume(run, "kim"))
        assert await reached(one, run) is RunState.SUCCEEDED
        assert await attempts(one, run) == [
            ("steady", 1, "succeeded"),
            *[("down", n, "failed") for n in (1, 2, 3, 4)],
            ("down", 5, "succeeded"),
        ]
    assert calls["steady"] == 1


async def test_a_permanent_failure_fails_the_run_at_once_and_keeps_the_error(database: str, tmp_path: Path) -> None:
    @stage(retry=Retry(max_attempts=9))
    def wrong(event: Event) -> int:
        raise Permanent("the schema changed")

    async with daemon(settings(database, tmp_path), Pipeline("wrong", [wrong])) as one:
        run = await start(one, "wrong", "1")
        assert await reached(one, run) is RunState.FAILED
        assert await attempts(one, run) == [("wrong", 1, "failed")]
    [row] = await rows(database, "select failure from attempts")
    assert b"the schema changed" in row["failure"]


def positive(output: int) -> GateResult:
    """A gate of the tests."""
    return GateResult.of(output > 0, f"{output} is above 0" if output > 0 else f"{output} is not above 0")


async def test_a_gate_lets_pass_or_fails_the_run_with_its_reason(database: str, tmp_path: Path) -> None:
    gated = Pipeline("gated", [ingest, double], gates={("ingest", "double"): positive})
    async with daemon(settings(database, tmp_path), gated) as one:
        good, bad = await start(one, "gated", "1", 5), await start(one, "gated", "2", -5)
        assert await reached(one, good) is RunState.SUCCEEDED
        assert await reached(one, bad) is RunState.FAILED
        assert await attempts(one, bad) == [("ingest", 1, "succeeded")]
    found = {row["run_id"]: row for row in await rows(database, "select * from gates")}
    assert (found[good]["state"], found[bad]["state"]) == ("passed", "failed")
    assert found[bad]["reason"] == "-5 is not above 0"


async def test_a_run_that_waits_for_a_person_holds_no_place_and_goes_on_when_approved(
    database: str, tmp_path: Path
) -> None:
    def ask(output: int) -> GateResult:
        return GateResult(GateState.WAITING, "a person decides")

    asking = Pipeline("asking", [ingest, double], gates={("ingest", "double"): ask})
    async with daemon(settings(database, tmp_path, max_runs=1), asking) as one:
        waiting = await start(one, "asking", "1", 5)
        assert await reached(one, waiting, RunState.WAITING) is RunState.WAITING
        other = await start(one, "asking", "2", 6)
        assert await reached(one, other, RunState.WAITING) is RunState.WAITING
        await one.writer.submit(DecideGate(waiting, "asking", "ingest-double", "approved", "kim", "fine"))
        assert await reached(one, waiting) is RunState.SUCCEEDED
        await one.writer.submit(DecideGate(other, "asking", "ingest-double", "rejected", "kim", "no"))
        assert await reached(one, other) is RunState.FAILED
        assert await attempts(one, waiting) == [("ingest", 1, "succeeded"), ("double", 1, "succeeded")]


def forever(started: asyncio.Event) -> Pipeline:
    """A pipeline whose one stage tells that it began, and never ends."""

    @stage
    async def forever(event: Event) -> int:
        started.set()
        await asyncio.Event().wait()
        return 1

    return Pipeline("forever", [forever])


async def test_cancelling_cuts_a_running_stage_short(database: str, tmp_path: Path) -> None:
    started = asyncio.Event()
    async with daemon(settings(database, tmp_path), forever(started)) as one:
        run = await start(one, "forever", "1")
        await started.wait()
        assert await one.writer.submit(Cancel(run, "kim")) == [RunState.RUNNING]
        assert await reached(one, run) is RunState.CANCELLED
        assert await attempts(one, run) == [("forever", 1, "cancelled")]


async def test_a_restarted_daemon_goes_on_from_the_last_finished_stage(database: str, tmp_path: Path) -> None:
    began, allowed = asyncio.Event(), asyncio.Event()

    @stage
    async def slow(double: int) -> int:
        calls["slow"] += 1
        began.set()
        await allowed.wait()
        return double

    pipeline = Pipeline("restarted", [ingest, double, slow])
    given = settings(database, tmp_path, drain_s=0)
    async with daemon(given, pipeline) as one:
        run = await start(one, "restarted", "1", 5)
        await began.wait()
    allowed.set()
    async with daemon(given, pipeline) as one:
        assert await reached(one, run) is RunState.SUCCEEDED
        assert await attempts(one, run) == [
            *[("ingest", 1, "succeeded"), ("double", 1, "succeeded")],
            *[("slow", 1, "cancelled"), ("slow", 2, "succeeded")],
        ]
    assert calls == {"ingest": 1, "double": 1, "slow": 2}


async def test_wrong_params_are_the_events_fate_and_start_no_run(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), diamond) as one:
        with pytest.raises(AssertionError, match="factor"):
            await start(one, "diamond", "1", 5, factor="many")
    [row] = await rows(database, "select fate, reason from outcomes")
    assert row["fate"] == "dead"


async def test_hundreds_of_runs_on_two_daemons_all_finish_once(database: str, tmp_path: Path) -> None:
    given = settings(database, tmp_path, max_runs=20)
    async with daemon(given, diamond) as one, daemon(given, diamond):
        runs = await asyncio.gather(*(start(one, "diamond", str(n), n) for n in range(300)))
        for run in runs:
            assert await reached(one, run) is RunState.SUCCEEDED
    counted = await rows(database, "select run_id, count(*) as n from attempts group by run_id having count(*) <> 5")
    assert (len(set(runs)), counted) == (300, [])


async def test_a_run_that_was_claimed_by_a_commit_nobody_confirmed_is_driven_after_the_outage(
    database: str, tmp_path: Path
) -> None:
    async with daemon(settings(database, tmp_path, drain_s=0), diamond) as other:
        run = await start(other, "diamond", "1", 5)
        await reached(other, run)
    async with daemon(settings(database, tmp_path), diamond) as one:
        assert one.executor is not None
        await rows(database, "delete from attempts")
        await rows(
            database,
            "update runs set state = 'running', owner = $1, finished_at = null, epoch = epoch + 1",
            one.writer.daemon,
        )
        one.executor.recover_owned()
        assert await reached(one, run) is RunState.SUCCEEDED
        one.stop()
        await one.executor.drain()
        assert one.executor.running == 0


async def test_draining_does_not_wait_for_a_claim_that_found_nothing(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, drain_s=60), diamond) as one, asyncio.timeout(10):
        assert one.executor is not None
        one.executor.wake()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await one.executor.drain()


class Panic(BaseException):
    """What some compiled libraries raise."""


@stage
async def panics(event: Event) -> int:
    raise Panic("index out of bounds")


@stage
async def measures_too_much(event: Event, context: StageContext) -> int:
    context.metrics[event.data["name"]] = event.data["value"]
    return 1


def tells_too_much(output: int) -> GateResult:
    """Evidence that JSON cannot hold."""
    return GateResult.of(False, "because \ud800", {"rows": 2**80})


@pytest.mark.parametrize(
    ("pipeline", "data"),
    [
        (Pipeline("panics", [panics]), 1),
        (Pipeline("huge", [measures_too_much]), {"name": "k", "value": "many"}),
        (Pipeline("tells", [ingest, double], gates={("ingest", "double"): tells_too_much}), 1),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
async def test_nothing_an_author_raises_or_returns_takes_the_daemon_down(
    database: str, tmp_path: Path, pipeline: Pipeline, data: object
) -> None:
    async with daemon(settings(database, tmp_path), pipeline, diamond) as one:
        assert await reached(one, await start(one, pipeline.name, "1", data)) is RunState.FAILED
        assert await reached(one, await start(one, "diamond", "2", 5)) is RunState.SUCCEEDED


async def test_what_can_be_read_as_a_number_is_a_metric(database: str, tmp_path: Path) -> None:
    huge = Pipeline("huge", [measures_too_much])
    async with daemon(settings(database, tmp_path), huge) as one:
        run = await start(one, "huge", "1", {"name": "k", "value": "1e24"})
        assert await reached(one, run) is RunState.SUCCEEDED
    [row] = await rows(database, "select metrics from attempts")
    assert json.loads(row["metrics"]) == {"k": 1e24}


async def test_an_approval_is_heard_while_another_branch_runs(database: str, tmp_path: Path) -> None:
    held, went_on = asyncio.Event(), asyncio.Event()

    @stage
    async def source(event: Event) -> int:
        return 1

    @stage
    async def long(source: int) -> int:
        await held.wait()
        return source

    @stage
    async def approved_one(source: int) -> int:
        went_on.set()
        return source

    gates = {("source", "approved_one"): approved()}
    two = Pipeline("two", [source, long, approved_one], gates=gates)
    async with daemon(settings(database, tmp_path), two) as one:
        run = await start(one, "two", "1")
        async with asyncio.timeout(10):
            while not await rows(database, "select from gates where state = 'waiting'"):
                await one.news.changed()
            [voted] = await one.writer.submit(DecideGate(run, "two", "source-approved_one", "approved", "kim"))
            assert voted
            await went_on.wait()
        held.set()
        assert await reached(one, run) is RunState.SUCCEEDED


async def test_a_request_to_cancel_that_was_not_heard_is_found_after_a_reconnect(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = asyncio.Event()
    async with daemon(settings(database, tmp_path), forever(started)) as one:
        run = await start(one, "forever", "1")
        await started.wait()
        assert one.executor is not None
        with monkeypatch.context() as deaf:
            deaf.setattr(one.executor, "cancel", lambda run_id: None)
            await one.writer.submit(Cancel(run, "kim"))
            await rows(database, "select pg_notify('tidemill_wake', $1)", f"cancel {run}")
        await rows(
            database,
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and query like 'LISTEN%'",
        )
        assert await reached(one, run) is RunState.CANCELLED
