"""Runs whose stages are made in worker processes, in a whole daemon on a real database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson

from service.db.costs import PutCost
from service.db.steering import Cancel
from service.db.views import Views
from service.model import RunState
from stages.cost import Cost
from tests.db.daemons import attempts, daemon, reached, settings, start
from tests.db.process_stages import dying, sleeping, whole
from tests.db.writing import rows
from tests.fault.processes import running


async def test_results_metrics_models_and_lines_come_from_the_worker(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, threads=1), whole) as one:
        run = await start(one, "whole", "1", {"count": 5_000})
        assert await reached(one, run) is RunState.SUCCEEDED
        await one.writer.drained()
    [made] = await rows(database, "select * from attempts where stage = 'ingest'")
    [registered] = await rows(database, "select * from attempts where stage = 'register'")
    assert (made["output_inline"], made["output_size"] > 8192) == (None, True)
    assert (registered["output_inline"], registered["metrics"]) == (b"1", b'{"count":5000.0}')
    lines = await rows(database, "select stage, message from stage_logs")
    assert [tuple(line) for line in lines] == [("ingest", "ingesting")]


async def test_what_attempts_cost_is_kept_and_told(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, threads=1), whole) as one:
        run = await start(one, "whole", "1", {"count": 5})
        assert await reached(one, run) is RunState.SUCCEEDED
        await one.writer.drained()
        place = (run, "ingest", -1, 1)
        await one.writer.submit(PutCost(place, Cost(99.0, None)), PutCost((run + 1, "ingest", -1, 1), Cost(1.0, 1)))
        shown = await Views(one.reads).run(run)
    kept = await rows(database, "select * from attempt_costs order by stage")
    assert [tuple(row)[:4] for row in kept] == [place, (run, "register", -1, 1)]
    assert shown is not None
    for row, stage in zip(kept, shown["stages"], strict=True):
        assert 0 < row["cpu_s"] < 99
        assert row["memory_bytes"] > 1_000_000
        cost = {"cpu_s": row["cpu_s"], "memory_bytes": row["memory_bytes"]}
        assert (stage["cost"], stage["attempts"][0]["cost"]) == (cost, cost)


async def test_a_lost_worker_is_a_lost_attempt_and_is_retried(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, threads=1), dying) as one:
        run = await start(one, "dying", "1", {"deaths": 4})
        assert await reached(one, run) is RunState.SUCCEEDED
        assert await attempts(one, run) == [*[("dies", n, "lost") for n in (1, 2, 3, 4)], ("dies", 5, "succeeded")]
    failure = orjson.loads((await rows(database, "select failure from attempts where attempt = 1"))[0]["failure"])
    assert failure["message"] == "the worker process was ended by SIGKILL: out of memory, or killed by hand"


async def test_a_stage_that_keeps_losing_its_worker_fails_the_run(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, threads=1), dying) as one:
        run = await start(one, "dying", "1", {"deaths": 99})
        assert await reached(one, run) is RunState.FAILED
        assert await attempts(one, run) == [("dies", n, "lost") for n in range(1, 6)]
    [row] = await rows(database, "select failure from runs")
    assert orjson.loads(row["failure"]) == {"stage": "dies", "reason": "its worker was lost 5 times"}


async def test_cancelling_a_run_ends_the_process_of_its_stage(database: str, tmp_path: Path) -> None:
    file = tmp_path / "worker"
    async with daemon(settings(database, tmp_path, threads=1), sleeping) as one:
        run = await start(one, "sleeping", "1", {"file": str(file)})
        async with asyncio.timeout(20):
            while not file.exists() or not file.read_text():
                await asyncio.sleep(0.01)
        await one.writer.submit(Cancel(run, "kim"))
        assert await reached(one, run) is RunState.CANCELLED
        assert await attempts(one, run) == [("sleeps", 1, "cancelled")]
        assert not running([int(file.read_text())])
