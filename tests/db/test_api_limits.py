"""What people see of limits: what a run waits for, what pools hold, and a start with a priority of its own."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from service.client import Client
from service.db.blocking import told_by
from service.model import RunState
from service.settings import Http, Role
from service.values import Amount
from stages.base import stage
from stages.limits import Concurrency, Rate
from stages.pipeline import Pipeline
from tests.db.api import Api, problem
from tests.db.daemons import daemon, reached, settings
from tests.db.writing import rows
from triggers.event import Event, utc_now


@stage
async def holds(event: Event) -> int:
    await asyncio.Event().wait()
    return 1


PIPELINES = (
    Pipeline("single", [holds], max_running=1),
    Pipeline("keyed", [holds], concurrency=Concurrency("data.customer")),
    Pipeline("left", [holds], pool="warehouse"),
    Pipeline("right", [holds], pool="warehouse"),
    Pipeline("paced", [holds], rate=Rate(1, 3600)),
    Pipeline("free", [holds]),
)


@asynccontextmanager
async def limited(database: str, folder: Path, *roles: Role) -> AsyncIterator[Api]:
    """A daemon with a pool of one place. What it drives never ends."""
    given = settings(database, folder, *(roles or (Role.API, Role.EXECUTOR)), lease_s=30.0, drain_s=0)
    given = dataclasses.replace(given, http=Http(port=0), pools=(Amount("warehouse", 1),))
    async with daemon(given, *PIPELINES) as one, httpx.AsyncClient(base_url=one.address, timeout=20) as client:
        yield Api(one, client, Client(one.address))


async def started(one: Api, pipeline: str, state: RunState = RunState.RUNNING, **more: object) -> int:
    """A run that has come as far as it can for now."""
    answer = await one.post(f"/api/v1/pipelines/{pipeline}/runs", more)
    assert answer.status_code == 202, answer.text
    run: int = answer.json()["events"][0]["runs"][0]
    await reached(one.daemon, run, state)
    return run


async def waits_for(one: Api, run: int) -> str:
    """What is told of a run alone, which is what the list tells of it."""
    shown = (await one.http.get(f"/api/v1/runs/{run}")).json()
    listed = (await one.http.get("/api/v1/runs")).json()["runs"]
    told: str = shown["waits_for"]
    assert [each["waits_for"] for each in listed if each["id"] == run] == [told]
    return told


async def test_a_queued_run_says_what_it_waits_for(database: str, tmp_path: Path) -> None:
    queued = RunState.QUEUED
    async with limited(database, tmp_path) as one:
        await one.daemon.writer.drained()
        await started(one, "single")
        assert await waits_for(one, await started(one, "single", queued)) == (
            "a free place: 1 of 1 run of single is running"
        )
        first = await started(one, "keyed", data={"customer": "acme"})
        second = await started(one, "keyed", queued, data={"customer": "acme"})
        assert await waits_for(one, second) == f"run {first} of the same key"
        await started(one, "left")
        assert await waits_for(one, await started(one, "right", queued)) == "pool warehouse: 1 of 1 taken"
        await started(one, "paced")
        told = await waits_for(one, await started(one, "paced", queued))
        assert re.fullmatch(r"its rate: not before \d\d:\d\d:\d\d UTC", told)


async def test_a_run_that_no_limit_holds_up_waits_for_a_daemon(database: str, tmp_path: Path) -> None:
    async with limited(database, tmp_path, Role.API) as one:
        for name in ("single", "keyed", "left", "paced", "free"):
            run = await started(one, name, RunState.QUEUED, data={"customer": "acme"})
            assert await waits_for(one, run) == "a free place in a daemon that has this pipeline loaded"


@pytest.mark.parametrize(
    ("runs", "told"),
    [([7, 9], "runs 7 and 9 of the same key"), ([1, 2, 3, 4, 5], "runs 1, 2, 3 and others of the same key")],
)
def test_several_runs_of_a_key_are_named(runs: list[int], told: str) -> None:
    row = {"behind": None, "of_key": runs, "running": len(runs), "capacity": None, "not_before": None}
    limits = {"pipeline": "keyed", "concurrency": {"at_most": 2}}
    assert told_by(limits, row, utc_now()) == told  # type: ignore[arg-type]


async def test_the_system_and_the_metrics_tell_what_is_taken_of_each_pool(database: str, tmp_path: Path) -> None:
    async with limited(database, tmp_path) as one:
        await started(one, "left")
        await started(one, "right", RunState.QUEUED)
        system = (await one.http.get("/api/v1/system")).json()
        metrics = (await one.http.get("/metrics")).text
    assert system["pools"] == [{"name": "warehouse", "capacity": 1, "taken": 1}]
    assert 'tidemill_pool_places{pool="warehouse"} 1\n' in metrics
    assert 'tidemill_pool_taken{pool="warehouse"} 1\n' in metrics


async def test_a_pipeline_shows_its_limits(database: str, tmp_path: Path) -> None:
    async with limited(database, tmp_path, Role.API) as one:
        shown = (await one.http.get("/api/v1/pipelines/paced")).json()
    assert shown["limits"] == {
        "max_running": None,
        "concurrency": None,
        "rate": {"runs": 1, "per_s": 3600, "key": None},
        "pool": None,
        "priority": 0,
    }


async def test_a_start_by_hand_may_have_a_priority(database: str, tmp_path: Path) -> None:
    async with limited(database, tmp_path, Role.API) as one:
        run = await started(one, "free", RunState.QUEUED, priority=20)
        answer = await one.call(one.client.run, "free", priority=-3)
        problem(await one.post("/api/v1/pipelines/free/runs", {"priority": 101}), 422)
    stored = {row["id"]: row["priority"] for row in await rows(database, "select id, priority from runs")}
    assert stored == {run: 20, answer["events"][0]["runs"][0]: -3}
