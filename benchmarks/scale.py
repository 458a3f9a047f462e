"""(j) The same backlog of runs for one, two and four daemons on one Postgres, on the cores of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import cpu_s, daemon_process, here_settings, start_daemon
from benchmarks.ground import Ground, ground
from benchmarks.measuring import Round, alternate, measured, rates, summary
from benchmarks.runs import arrival
from benchmarks.six import six
from benchmarks.tables import Table
from service.settings import Role
from triggers.base import Inbox

BATCH = 500


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    runs: int = 20_000
    rounds: int = 3
    in_flight: int = 500
    most_daemons: int = 4


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    counts = [count for count in (1, 2, 4) if count <= size.most_daemons]
    names = [f"{count} daemon{'s' * (count > 1)}" for count in counts]
    async with ground() as here, asyncio.TaskGroup() as tasks:
        giver = await start_daemon(here_settings(here, Role.TRIGGERS), [six], tasks)
        work = [partial(_round, here, giver.inbox, count, size) for count in counts]
        found = await alternate(dict(zip(names, work, strict=True)), size.rounds)
        giver.stop()
    title = f"A backlog of {size.runs:,} runs of six stages, {size.in_flight} in flight in all"
    note = "Postgres and whoever hands in the events share the cores; their CPU is not counted."
    return [rates(title, "run", summary(found, names[0]), note)]


async def _round(here: Ground, inbox: Inbox, daemons: int, size: Size) -> Round:
    """From the first event handed in to the last run closed."""
    await here.execute("truncate runs, attempts, events")
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(
                daemon_process(
                    here.folder / f"{number}",
                    TIDEMILL_DATABASE_URL=here.dsn,
                    TIDEMILL_PIPELINES="benchmarks.six:six",
                    TIDEMILL_ROLES="executor",
                    TIDEMILL_EXECUTOR_MAX_RUNS=str(size.in_flight // daemons),
                    TIDEMILL_EXECUTOR_WARM_WORKERS="0",
                )
            )
            for number in range(daemons)
        ]
        pids = [one.pid for one in processes]
        return await measured(size.runs, partial(_drive, here, inbox, size.runs), here.commits, partial(cpu_s, pids))


async def _drive(here: Ground, inbox: Inbox, runs: int) -> None:
    for start in range(0, runs, BATCH):
        await inbox.accept([arrival() for _ in range(start, min(start + BATCH, runs))])
    await here.reaches(
        "select (not exists (select from runs where state in ('queued', 'running', 'waiting') and id > 0))::int", 1
    )


BENCHMARK = Benchmark(
    order="j",
    says="A backlog of runs for one, two and four daemons on one Postgres.",
    full=Size(),
    quick=Size(runs=200, rounds=1, in_flight=50, most_daemons=2),
    measure=run,
)
