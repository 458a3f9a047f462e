"""A hundred runs whose stages fail in every way, over three daemons of which one is killed every few seconds."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from service.machine import POISON_LIMIT
from service.model import RunState
from service.settings import Role
from tests.db.daemons import daemon, settings
from tests.db.writing import rows
from tests.fault.daemons import daemon_process
from tests.fault.rough import MAX_ATTEMPTS, rough
from triggers.base import Arrival, Offer
from triggers.event import Event, utc_now

RUNS = 100
SEED = 20261126
KILL_EVERY_S = 4.0
STAGES = [stage.name for stage in rough.stages]
# What a stage does call by call, how often, and how the run then ends.
PLANS = {
    ("ok",): 55,
    ("transient", "ok"): 12,
    ("transient", "transient", "ok"): 5,
    ("hang", "ok"): 5,
    ("exit", "ok"): 6,
    ("transient",): 4,
    ("permanent",): 6,
    ("memory",): 4,
    ("exit",): 3,
}


def planned(dice: random.Random) -> dict[str, list[str]]:
    """A plan for each stage of one run."""
    return {name: list(dice.choices(list(PLANS), list(PLANS.values()))[0]) for name in STAGES}


def end_of(plan: dict[str, list[str]]) -> tuple[RunState, str, str]:
    """How the policy says that a run ends: its state, and where it fails the stage and how it behaves to the last."""
    for name in STAGES:
        if plan[name][-1] != "ok":
            return RunState.FAILED, name, plan[name][-1]
    return RunState.SUCCEEDED, "", "ok"


@asynccontextmanager
async def three_of_which_one_is_killed(dsn: str, folder: Path, dice: random.Random) -> AsyncIterator[list[int]]:
    """Daemons, and how often one was killed so far."""
    killed: list[int] = []

    async def one_after_the_other(place: int) -> None:
        while True:
            variables = {"TIDEMILL_EXECUTOR_THREADS": "2", "TIDEMILL_ARTIFACTS": (folder / "artifacts").as_uri()}
            async with daemon_process(dsn, folder / str(place), "tests.fault.rough:rough", **variables) as process:
                await asyncio.sleep(KILL_EVERY_S * (1 + 2 * dice.random()))
                process.kill()
                killed.append(place)

    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(one_after_the_other(place)) for place in range(3)]
        yield killed
        for task in running:
            task.cancel()


@pytest.mark.timeout(600)
async def test_a_hundred_rough_runs_end_as_their_policy_says(database: str, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    plans = {str(number): planned(dice) for number in range(RUNS)}
    calls = tmp_path / "calls"
    calls.mkdir()
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(daemon(settings(database, tmp_path / "api", Role.TRIGGERS), rough))
        for number, plan in plans.items():
            data = {"folder": str(calls), "plan": plan}
            event = Event(source="rough", id=number, type="t", time=utc_now(), data=data)
            await api.inbox.accept([Arrival(event, [Offer("rough", "test")])])
        killed = await stack.enter_async_context(three_of_which_one_is_killed(database, tmp_path, dice))
        await all_finished(database)
    assert len(killed) >= 3
    for row in await rows(database, "select r.*, e.id as number from runs r join events e on e.key = r.event_key"):
        attempts = await rows(database, "select * from attempts where run_id = $1", row["id"])
        check(plans[row["number"]], row, attempts)


async def all_finished(dsn: str) -> None:
    """Wait until no run is left."""
    while await rows(dsn, "select from runs where finished_at is null limit 1"):
        await asyncio.sleep(0.5)


def check(plan: dict[str, list[str]], row: object, attempts: list[object]) -> None:
    """The state and the attempts that the policy says. A kill may hide a failure, and costs a lost attempt."""
    state, where, last = end_of(plan)
    assert row["state"] == state, (plan, dict(row))  # type: ignore[index, call-overload]
    told = [dict(one) for one in attempts]  # type: ignore[call-overload]
    for name in STAGES:
        states = Counter(one["state"] for one in told if one["stage"] == name)
        assert states["succeeded"] <= 1
        transient = sum(1 for did in plan[name] if did in ("transient", "hang"))
        if name == where:
            assert b"%s" % name.encode() in row["failure"]  # type: ignore[index]
            assert states["succeeded"] == 0
            assert states["failed"] == {"transient": MAX_ATTEMPTS, "exit": 0}.get(last, 1), (plan, told)
            assert states["lost"] == POISON_LIMIT or last != "exit"
            return
        assert states["succeeded"] == 1
        assert states["failed"] <= transient
