"""Resuming a run on other code: a gate that passed as it was declared then is checked as it is declared now."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from service.app import Daemon
from service.client import Client
from service.db.votes import DecideGate
from service.model import RunState
from service.settings import Role
from stages import Event, Permanent, Pipeline, StageContext, stage
from stages.gates import approved, metrics_above
from tests.db.daemons import daemon, reached, settings, start
from tests.db.writing import rows


@stage
async def measure(event: Event, ctx: StageContext) -> int:
    ctx.record_metrics(a=0.6)
    return 1


@stage
async def use(measure: int) -> int:
    raise Permanent("broken")


@stage(name="use")
async def mended(measure: int) -> int:
    return measure


def gated(gate: Any, last: Any) -> Pipeline:
    return Pipeline("g", [measure, last], gates={("measure", "use"): gate})


async def failed(one: Daemon) -> int:
    run = await start(one, "g", "1")
    assert await reached(one, run) is RunState.FAILED
    return run


async def resumed(one: Daemon, run: int, **changes: Any) -> list[tuple[str, str]]:
    """Resume, and return what was told of the gates, which is what a look before tells."""
    client = Client(one.address)
    before = await asyncio.to_thread(client.resume, run, "kim", dry_run=True, **changes)
    answer = await asyncio.to_thread(client.resume, run, "kim", **changes)
    assert answer["gates"] == before["gates"]
    return [(told["gate"], told["why"]) for told in answer["gates"]]


async def test_a_gate_declared_otherwise_is_checked_anew_and_one_that_is_not_stays(
    database: str, tmp_path: Path
) -> None:
    given = settings(database, tmp_path, *Role)
    old, same = gated(metrics_above(a=0.5), use), gated(metrics_above(a=0.5), mended)
    stricter = gated(metrics_above(a=0.7), mended)
    async with daemon(given, old) as one:
        run = await failed(one)
    async with daemon(given, stricter) as one:
        [told] = await resumed(one, run, on="latest")
        assert told == ("measure-use", f"it passed, but was declared otherwise in version {old.version}")
        assert await reached(one, run) is RunState.FAILED
        [row] = await rows(database, "select state, reason from gates")
        assert row["state"] == "failed"
        assert "0.7" in row["reason"]
        [action] = await rows(database, "select detail from run_actions")
        assert b'"gates_anew":["measure-use"]' in action["detail"]
    async with daemon(given, same) as one:
        assert await resumed(one, run, on="latest") == [("measure-use", "it has not passed")]
        assert await reached(one, run) is RunState.SUCCEEDED
    history = await rows(database, "select state from gate_history order by seq")
    assert [row["state"] for row in history] == ["passed", "failed", "passed"]


async def test_a_gate_declared_as_before_is_not_asked_again(database: str, tmp_path: Path) -> None:
    given = settings(database, tmp_path, *Role)
    async with daemon(given, gated(metrics_above(a=0.5), use)) as one:
        run = await failed(one)
    async with daemon(given, gated(metrics_above(a=0.5), mended)) as one:
        assert await resumed(one, run, on="latest") == []
        assert await reached(one, run) is RunState.SUCCEEDED
    assert len(await rows(database, "select from gate_history")) == 1


async def approve(one: Daemon, run: int, name: str, needed: int) -> None:
    assert await reached(one, run, RunState.WAITING, RunState.SUCCEEDED) is RunState.WAITING
    [counted] = await one.writer.submit(DecideGate(run, "g", "measure-use", "approved", name, needed=needed))
    assert counted


async def test_an_approval_that_needs_more_people_now_is_asked_for_anew(database: str, tmp_path: Path) -> None:
    given = settings(database, tmp_path, *Role)
    async with daemon(given, gated(approved(n=1), use)) as one:
        run = await start(one, "g", "1")
        await approve(one, run, "ann", 1)
        assert await reached(one, run) is RunState.FAILED
    async with daemon(given, gated(approved(n=2), mended)) as one:
        [(gate, why)] = await resumed(one, run, on="latest")
        assert (gate, why[:33]) == ("measure-use", "it passed, but was declared other")
        await approve(one, run, "ann", 2)
        assert await reached(one, run, RunState.WAITING, RunState.SUCCEEDED) is RunState.WAITING
        await approve(one, run, "bob", 2)
        assert await reached(one, run) is RunState.SUCCEEDED


async def test_skipping_a_stage_on_other_code_checks_the_other_gates_anew(database: str, tmp_path: Path) -> None:
    @stage
    async def extra(measure: int) -> int:
        raise Permanent("broken")

    @stage
    async def both(measure: int, extra: int | None) -> int:
        return measure

    def of(least: float) -> Pipeline:
        gates = {("measure", "extra"): metrics_above(a=least), ("measure", "both"): metrics_above(a=least)}
        return Pipeline("g", [measure, extra, both], gates=gates)

    given = settings(database, tmp_path, *Role)
    async with daemon(given, of(0.5)) as one:
        run = await failed(one)
    await rows(database, "insert into gates select run_id, 'measure-both', source, 'both', state, reason, evidence, "
               "subject, decided_by, decided_at, expires_at from gates returning gate")  # fmt: skip
    async with daemon(given, of(0.7)) as one:
        answer = await asyncio.to_thread(Client(one.address).skip, run, "extra", "not needed", by="kim", on="latest")
        assert [told["gate"] for told in answer["gates"]] == ["measure-both"]
        assert await reached(one, run) is RunState.FAILED
    [row] = await rows(database, "select state from gates where gate = 'measure-both'")
    assert row["state"] == "failed"


class Params(BaseModel):
    """What the gate below asks for."""

    least: int = 0


async def test_a_gate_that_looks_at_parameters_is_checked_anew_where_they_changed(
    database: str, tmp_path: Path
) -> None:
    def enough(output: int, params: Params) -> bool:
        return output >= params.least

    one_gate = Pipeline("g", [measure, use], gates={("measure", "use"): enough}, params=Params)
    async with daemon(settings(database, tmp_path, *Role), one_gate) as one:
        run = await failed(one)
        told = await resumed(one, run, params={"least": 5})
        assert told == [("measure-use", "it passed, but with other parameters: least")]
        assert await reached(one, run) is RunState.FAILED
    [row] = await rows(database, "select state from gates")
    assert row["state"] == "failed"
