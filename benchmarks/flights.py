"""(j) The flights pipeline from a landed month to a deployed model, beside its six functions in a plain script."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import polars as pl

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import ROOT, children, cpu_s, here_settings, start_daemon
from benchmarks.ground import Ground, ground
from benchmarks.measuring import Round, alternate, measured
from benchmarks.tables import Column, Goal, Table
from examples.flights.feed import write_month
from examples.flights.model import FlightParams
from examples.flights.pipeline import deploy, evaluate, features, flights, ingest, register, train
from service.app import Daemon
from service.settings import Role, Settings
from stages import Pipeline, StageContext
from stages.gates.base import GateContext, GateState
from triggers.base import Arrival, Offer
from triggers.event import Event, utc_now

SCRIPT = "six functions in a script"
CHECKED = "the same, with every row checked"
OURS = "tidemill"
PERSON = ("register", "deploy")
GATES = {arrow: [one.gate for one in several] for arrow, several in flights.gates.items() if arrow != PERSON}
COLUMNS = [
    Column("median_s", "median s", ".2f"),
    Column("spread", "spread"),
    Column("ratio", "over the script", ".2f"),
    Column("cpu_s", "CPU s", ".2f"),
    Column("commits", "commits"),
]
_numbers = itertools.count()

unattended = Pipeline("flights", stages=list(flights.stages), gates=GATES, params=FlightParams)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int = 5
    warm_rounds: int = 1
    months: int = 3


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    async with ground() as here, asyncio.TaskGroup() as tasks:
        landing = here.folder / "landing"
        for month in range(1, size.months + 1):
            await asyncio.to_thread(write_month, month, landing / "flights")
        daemon = await start_daemon(_settings(here), [unattended], tasks)
        params = FlightParams.model_validate({"landing": str(landing), "months": size.months})
        for _ in range(size.warm_rounds):
            await _script(daemon, params)
            await _ours(here, daemon, params)

        async def script(*, checked: bool) -> Round:
            return await measured(1, lambda: _script(daemon, params, checked=checked), here.commits, _used_s)

        async def ours() -> Round:
            await _forget(here)
            return await measured(1, lambda: _ours(here, daemon, params), here.commits, _used_s)

        plain, checked = partial(script, checked=False), partial(script, checked=True)
        found = await alternate({SCRIPT: plain, CHECKED: checked, OURS: ours}, size.rounds)
        daemon.stop()
    return [_table(found, size)]


def _settings(here: Ground) -> Settings:
    """With the worker process that is kept warm where nothing is set: stages with a `timeout_s` run there."""
    settings = here_settings(here, Role.EXECUTOR)
    return replace(settings, root=ROOT, executor=replace(settings.executor, warm_workers=1))


async def _script(daemon: Daemon, params: FlightParams, *, checked: bool = False) -> None:
    """What somebody would write without Tidemill, in a thread where it computes; only the registry is the same.

    `checked`: with the gate on the rows that were ingested, the one that takes time.
    """
    event = _event()
    context = StageContext(
        run_id=1,
        pipeline="script",
        stage="register",
        attempt=1,
        idempotency_key=event.id,
        artifact_digests={"ingest": "", "features": "", "train": event.id, "evaluate": ""},
        registry=daemon.registry,
    )
    flown = await asyncio.to_thread(ingest, event, params, context)
    if checked:
        await asyncio.to_thread(_check, flown, event, params)
    known = await asyncio.to_thread(features, flown)
    model = await asyncio.to_thread(train, known, params, context)
    report = await asyncio.to_thread(evaluate, model, known, params, context)
    await deploy(await register(flown, known, model, report, context), context)


def _check(flown: pl.DataFrame, event: Event, params: FlightParams) -> None:
    [gate] = GATES["ingest", "features"]
    now = utc_now()
    evidence = GateContext(
        run_id=1,
        pipeline="script",
        source_stage="ingest",
        output=flown,
        metrics={},
        finished_at=now,
        event=event,
        params=params,
        now=now,
    )
    found = gate.check(evidence)
    if found.state is not GateState.PASSED:
        raise RuntimeError(found.reason)


async def _ours(here: Ground, daemon: Daemon, params: FlightParams) -> None:
    offer = Offer("flights", "benchmark", params=params.model_dump())
    [receipt] = await daemon.inbox.accept([Arrival(_event(), [offer])])
    [outcome] = receipt.outcomes
    await here.reaches(f"select count(*) from runs where id = {outcome.run_id} and finished_at is not null", 1)
    state = await here.watcher.fetchval("select state from runs where id = $1", outcome.run_id)
    if state != "succeeded":
        raise RuntimeError(f"the run of flights {state}")


async def _forget(here: Ground) -> None:
    """So that nothing is taken from an earlier round: neither results nor what the store holds already."""
    await here.execute("truncate attempts")
    for path in await asyncio.to_thread(lambda: list((here.folder / "artifacts").rglob("*"))):
        if path.is_file():
            await asyncio.to_thread(path.unlink)


def _used_s() -> float:
    """CPU time of this process and its workers, those that have ended included; the servers' is not in it."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    workers = [pid for pid, name in children(os.getpid()).items() if name.startswith("python")]
    return time.process_time() + ended.ru_utime + ended.ru_stime + cpu_s(workers)


def _event() -> Event:
    return Event(source="benchmarks", id=f"flights {next(_numbers)}", type="benchmark", time=utc_now())


def _table(found: dict[str, list[Round]], size: Size) -> Table:
    best = statistics.median(one.seconds for one in found[SCRIPT])
    rows = []
    for name, rounds in found.items():
        times = [one.seconds for one in rounds]
        rows.append(
            {
                "name": name,
                "median_s": statistics.median(times),
                "spread": f"{min(times):.2f} - {max(times):.2f}",
                "ratio": statistics.median(times) / best,
                "cpu_s": statistics.median(one.cpu_s for one in rounds),
                "commits": statistics.median(one.commits for one in rounds),
            }
        )
    return Table(f"Flights of {size.months} months, from the event to the deployed model", COLUMNS, rows)


BENCHMARK = Benchmark(
    order="j",
    says="The flights pipeline without its gate for a person, beside the same six functions in a plain script.",
    full=Size(),
    quick=Size(rounds=1, warm_rounds=0, months=1),
    measure=run,
    goals=[Goal("time over that of the script", OURS, "ratio", most=1.15, aim=1.05, unit="x")],
)
