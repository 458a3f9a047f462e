"""Who asks for what there is not is told so; numbers that a stage returns are its metrics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import BaseModel

from service.client import ApiError, Client
from service.model import RunState
from service.settings import Role
from stages import Pipeline, StageContext, stage
from stages.invoke import metrics_of
from tests.db.daemons import daemon, reached, settings, start


@stage
async def plain(ctx: StageContext) -> dict[str, object]:
    ctx.record_metrics(r2=0.9)
    return {"metrics": {"r2": 0.1, "mae": 3, "flag": True, "text": "1"}}


@dataclass
class Report:
    """An own type."""

    metrics: dict[str, float] = field(default_factory=lambda: {"rows": 2.0})


class Told(BaseModel):
    """Another."""

    metrics: dict[str, float] = {"auc": 0.5}


@stage
def typed(plain: dict[str, object]) -> Report:
    return Report()


@stage
async def modelled(typed: Report) -> Told:
    return Told()


@stage
async def none(modelled: Told) -> list[int]:
    return [1]


told = Pipeline("told", [plain, typed, modelled, none])


async def test_what_a_stage_returns_as_metrics_shows(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, *Role), told) as one:
        client = Client(one.address)
        runs = [await start(one, "told", str(number)) for number in (1, 2)]
        for run in runs:
            assert await reached(one, run) is RunState.SUCCEEDED
        shown = await asyncio.to_thread(client.show, runs[0])
        differ = await asyncio.to_thread(client.diff, *runs)
    metrics = {each["name"]: each["attempts"][-1]["metrics"] for each in shown["stages"]}
    assert metrics == {"plain": {"r2": 0.9, "mae": 3.0}, "typed": {"rows": 2.0}, "modelled": {"auc": 0.5}, "none": {}}
    compared = {each["stage"]: [one["name"] for one in each["metrics"]] for each in differ["stages"]}
    assert sorted(compared["plain"]) == ["mae", "r2"]


async def test_names_that_are_not_there_are_refused_with_those_that_are(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, *Role), told) as one:
        client = Client(one.address)
        assert (await asyncio.to_thread(client.runs, pipeline="told"))["runs"] == []
        with pytest.raises(ApiError, match="no pipeline 'tolt' is known; there are told") as caught:
            await asyncio.to_thread(client.runs, pipeline="tolt")
        assert caught.value.status == 404
        run = await start(one, "told", "1")
        assert await reached(one, run) is RunState.SUCCEEDED
        assert (await asyncio.to_thread(client.logs, run, stage="typed"))["lines"] == []
        with pytest.raises(
            ApiError, match=f"run {run} has no stage 'type'; it has plain, typed, modelled, none"
        ) as missed:
            await asyncio.to_thread(client.logs, run, stage="type")
        assert missed.value.status == 404


def test_only_numbers_that_can_be_kept_are_metrics() -> None:
    given = {"a": 1, "b": 2.5, "huge": 10**400, "no": float("nan"), "far": float("inf"), "yes": True, 1: 2, "text": "1"}
    assert metrics_of({"metrics": given}) == {"a": 1, "b": 2.5}
    assert metrics_of({"metrics": {str(number): number for number in range(1001)}}) == {}
    for other in (None, 1, [1], {"metrics": [1]}, {}, Report):
        assert metrics_of(other) == {}
