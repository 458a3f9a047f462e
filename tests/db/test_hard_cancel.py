"""An async stage, clean-up or gate that swallows its cancellation holds up no run, and nothing it does later counts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.app import Daemon
from service.db.steering import Cancel, Resume
from service.model import RunState
from service.settings import Role
from stages import Pipeline, Retry, StageContext, stage, strays
from stages.gates.base import GateResult, GateState
from stages.registry import AttemptOver, NewVersion
from tests.db.api import api
from tests.db.daemons import attempts, daemon, reached, settings, start
from tests.db.writing import rows

ONCE = Retry(max_attempts=1)


class Hold:
    """What the stages below cling to, and what came of their last acts."""

    def __init__(self) -> None:
        self.begun = asyncio.Semaphore(0)
        self.enough = asyncio.Event()
        self.ended: list[str] = []

    async def cling(self) -> None:
        """Go on until there is enough, whoever cancels."""
        self.begun.release()
        while not self.enough.is_set():
            try:
                await self.enough.wait()
            except asyncio.CancelledError:
                continue


hold = Hold()


@pytest.fixture(autouse=True)
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    global hold
    hold = Hold()
    monkeypatch.setattr(strays, "GRACE_S", 0.2)
    monkeypatch.setattr(strays, "AGAIN_S", 0.1)
    yield
    hold.enough.set()


@stage(retry=ONCE, reuse="run")
async def clings(ctx: StageContext) -> str:
    """Swallows everything, and then does all that a stage can do."""
    await hold.cling()
    ctx.logger.warning("a late line")
    ctx.progress(0.9, "a late note")
    ctx.record_metrics(late=1)
    ctx.emit("late.event")
    try:
        await ctx.registry.register(NewVersion(model="late", artifacts={}), idempotency_key="late")
    except AttemptOver:
        hold.ended.append("refused")
    hold.ended.append("returned")
    return "a late result"


@stage
async def after(clings: str) -> str:
    return clings


@stage
async def quick() -> int:
    return 1


@stage
async def last(quick: int) -> int:
    return quick


@stage(retry=Retry(max_attempts=1, total_s=0.2))
async def hangs_on() -> None:
    await hold.cling()


async def doubtful(output: Any) -> bool:
    await hold.cling()
    return True


def pipeline(name: str = "clinging", *, of: dict[str, Any] | None = None, **given: Any) -> Pipeline:
    return Pipeline(name, [replace(clings, **given), after], **(of or {}))


@asynccontextmanager
async def running(database: str, folder: Path, *pipelines: Pipeline) -> AsyncIterator[Daemon]:
    """A daemon; whatever clings is let go before it ends."""
    async with daemon(settings(database, folder, drain_s=0.1), *pipelines) as one:
        try:
            yield one
        finally:
            hold.enough.set()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"timeout_s": 0.2}, "timed out after 0.2 s"),
        ({"heartbeat_s": 0.2}, "gave no sign for 0.2 s"),
        ({"retry": Retry(max_attempts=1, total_s=0.2)}, "timed out after"),
    ],
)
async def test_a_stage_out_of_time_fails_though_it_swallows_its_cancellation(
    database: str, tmp_path: Path, given: dict[str, Any], told: str
) -> None:
    async with running(database, tmp_path, pipeline(**given)) as one:
        run = await start(one, "clinging", "1")
        assert await reached(one, run) is RunState.FAILED
        assert await attempts(one, run) == [("clings", 1, "failed")]
        assert one.strays.left == 1
    [row] = await rows(database, "select failure, transient from attempts")
    assert told in row["failure"].decode()
    assert row["transient"]


async def test_such_a_stage_is_tried_again_beside_what_is_left_of_it(database: str, tmp_path: Path) -> None:
    again = Retry(max_attempts=3, initial_s=0.01)
    async with running(database, tmp_path, pipeline(timeout_s=0.1, retry=again)) as one:
        run = await start(one, "clinging", "1")
        assert await reached(one, run) is RunState.FAILED
        assert await attempts(one, run) == [("clings", n, "failed") for n in (1, 2, 3)]
        assert one.strays.left == 3


async def test_a_run_out_of_time_ends(database: str, tmp_path: Path) -> None:
    async with running(database, tmp_path, pipeline(of={"timeout_s": 0.3})) as one:
        run = await start(one, "clinging", "1")
        assert await reached(one, run) is RunState.FAILED
        assert await attempts(one, run) == [("clings", 1, "cancelled")]
    [row] = await rows(database, "select failure from runs")
    assert b"the run's time was over" in row["failure"]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_run_is_cancelled_however_often_somebody_says_so(database: str, tmp_path: Path, times: int) -> None:
    async with running(database, tmp_path, pipeline(of={"timeout_s": 0.5})) as one:
        run = await start(one, "clinging", "1")
        await hold.begun.acquire()
        for _ in range(times):
            await one.writer.submit(Cancel(run, "kim"))
        assert await reached(one, run) is RunState.CANCELLED
        assert await attempts(one, run) == [("clings", 1, "cancelled")]
        assert one.executor is not None
        assert one.executor.running == 0
        assert await reached(one, await start(one, "clinging", "2"), RunState.RUNNING) is RunState.RUNNING


async def test_its_places_are_given_back(database: str, tmp_path: Path) -> None:
    greedy = pipeline(timeout_s=0.2, resources={"cpu": float(os.cpu_count() or 1)})
    given = settings(database, tmp_path, drain_s=0.1, max_runs=1)
    async with daemon(given, greedy) as one:
        for number in range(3):
            assert await reached(one, await start(one, "clinging", str(number))) is RunState.FAILED
        assert one.strays.left == 3
        hold.enough.set()


async def test_nothing_it_does_later_counts(database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with api(database, tmp_path, *Role, pipelines=(pipeline(timeout_s=0.2),)) as one:
        here = one.daemon
        runs = [await start(here, "clinging", "1")]
        assert await reached(here, runs[0]) is RunState.FAILED
        assert "\ntidemill_abandoned_tasks 1\n" in (await one.http.get("/metrics")).text
        before = await everything(database)
        hold.enough.set()
        async with asyncio.timeout(20):
            while here.strays.left:
                await asyncio.sleep(0.01)
        await here.writer.drained()
        assert hold.ended == ["refused", "returned"]
        assert await everything(database) == before
        assert "\ntidemill_abandoned_tasks 0\n" in (await one.http.get("/metrics")).text
        await here.writer.submit(Resume(runs[0], "kim"))
        assert await reached(here, runs[0]) is RunState.SUCCEEDED
    warned = [one.getMessage() for one in caplog.records if "goes on all the same" in one.getMessage()]
    assert len(warned) == 1
    assert "stage 'clings' of pipeline 'clinging'" in warned[0]


async def everything(dsn: str) -> list[Any]:
    """All that a stage could have written."""
    tables = ("attempts", "stage_logs", "events", "model_versions", "runs")
    return [[dict(row) for row in await rows(dsn, f"select * from {table} order by 1, 2")] for table in tables]


async def test_a_clean_up_that_clings_ends_by_its_time_or_when_somebody_insists(database: str, tmp_path: Path) -> None:
    timed = Pipeline("timed", [quick, last], on_cancel=hangs_on, gates={("quick", "last"): waits})
    longer = replace(hangs_on, retry=Retry(max_attempts=1))
    patient = Pipeline("patient", [quick, last], on_cancel=longer, gates={("quick", "last"): waits})
    async with running(database, tmp_path, timed, patient) as one:
        for name in ("timed", "patient"):
            run = await start(one, name, "1")
            await reached(one, run, RunState.WAITING)
            await one.writer.submit(Cancel(run, "kim"))
            await hold.begun.acquire()
            if name == "patient":
                await one.writer.submit(Cancel(run, "kim"))
            assert await reached(one, run) is RunState.CANCELLED
            assert (await attempts(one, run))[-1] == ("hangs_on", 1, "failed")


async def waits() -> Any:
    return GateResult(GateState.WAITING)


@pytest.mark.parametrize("how", ["cancel", "timeout"])
async def test_a_gate_that_clings_ends_with_its_run(
    database: str, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    limit = {"timeout_s": 0.3} if how == "timeout" else {}
    gated = Pipeline("gated", [quick, last], gates={("quick", "last"): doubtful}, **limit)
    async with running(database, tmp_path, gated) as one:
        run = await start(one, "gated", "1")
        await hold.begun.acquire()
        if how == "cancel":
            await one.writer.submit(Cancel(run, "kim"))
        wanted = RunState.CANCELLED if how == "cancel" else RunState.FAILED
        assert await reached(one, run) is wanted
        assert one.strays.left == 1
    assert "gate 'doubtful' was out of time or cancelled" in caplog.text
    assert await rows(database, "select from gates where state = 'passed'") == []


async def test_a_daemon_that_stops_gives_back_what_clings(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, drain_s=0.1), pipeline()) as one:
        run = await start(one, "clinging", "1")
        await hold.begun.acquire()
        one.stop()
        async with asyncio.timeout(20):
            while not one.strays.left:
                await asyncio.sleep(0.01)
            while (await rows(database, "select owner from runs where id = $1", run))[0]["owner"] is not None:
                await asyncio.sleep(0.01)
        hold.enough.set()
    assert await rows(database, "select from attempts where state = 'succeeded'") == []
