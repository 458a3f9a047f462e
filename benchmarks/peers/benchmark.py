"""Others that run steps durably, on the same Postgres in the same session, beside Tidemill in alternating rounds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from benchmarks.benchmark import Benchmark
from benchmarks.ground import Ground, ground
from benchmarks.measuring import Round, latencies, percentiles, rates, summary
from benchmarks.peers.asked import Asked, contender
from benchmarks.peers.environments import OURS, peer_names, python_of, version
from benchmarks.tables import Column, Goal, Table

WARM_UP = 20
NOTES = (
    "A run is six steps that do nothing; each step's result is durable before the next step begins, except where said. "
    "Every contender is one process on the same server, with fsync on, on a database of its own that begins empty. "
    "CPU is that of the contender and of the servers it starts, without Postgres'.",
    "`dbos`: a workflow of six steps, started in the process that runs it; its queues would look once a second. Many "
    "at once are plain functions, one alone is a coroutine: each was quicker there.",
    "`pgqueuer`, `procrastinate`: they have no steps. One job writes six checkpoints by hand, each committed; it would "
    "have to read them to go on after a crash, which is not in these figures, and done is the sixth checkpoint.",
    "`prefect`: a background task of six tasks with persisted results (files, without fsync), its server on this "
    "Postgres; states are told to the server afterwards. Runs of deployments start a process each and take seconds.",
    "`restate`: an invocation with six `ctx.run`. Its server keeps a log in RocksDB of its own, not in Postgres.",
    "`tidemill`: an event handed to the inbox in the process that executes, and done when the run is recorded so.",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. `names` are peers, with commas between; none are all."""

    names: str = ""
    rounds: int = 3
    in_flight: int = 200
    seconds: float = 5.0
    most: int = 20_000
    times: int = 30

    def contenders(self) -> list[str]:
        """Us first."""
        named = [name.strip() for name in self.names.split(",") if name.strip()]
        return [OURS, *(name for name in named or peer_names() if name != OURS)]


@dataclass(slots=True)
class Found:
    """What one contender did in all of its rounds; times in seconds."""

    rounds: list[Round] = field(default_factory=list)
    first_s: list[float] = field(default_factory=list)
    done_s: list[float] = field(default_factory=list)


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    found = {name: Found() for name in size.contenders()}
    for name in found:
        await python_of(name)
    async with ground() as here:
        for turn in range(size.rounds):
            for name, one in found.items():
                await _turn(name, here, turn, size, one)
    return [_rates(found, size.in_flight), *_latencies(found)]


async def _turn(name: str, here: Ground, turn: int, size: Size, found: Found) -> None:
    async with contender(name, here, turn, size.in_flight) as asked:
        await asked.ask(f"runs {WARM_UP}")
        runs = await _enough(asked, size)
        before, used_s = await here.commits(), asked.cpu_s()
        seconds = await asked.ask(f"runs {runs}")
        found.rounds.append(Round(runs, seconds, asked.cpu_s() - used_s, await here.commits() - before))
        for first_s, done_s in await asked.ask(f"latency {size.times}"):
            found.first_s.append(first_s)
            found.done_s.append(done_s)


async def _enough(asked: Asked, size: Size) -> int:
    """How many runs take about so many seconds, by a shorter trial, which also warms up."""
    runs, deadline = WARM_UP, time.monotonic() + size.seconds
    while True:
        seconds = await asked.ask(f"runs {runs}")
        wanted = min(max(int(runs / seconds * size.seconds), WARM_UP), size.most)
        if time.monotonic() >= deadline or wanted <= 4 * runs:
            return wanted
        runs *= 4


def _rates(found: dict[str, Found], in_flight: int) -> Table:
    rows = summary({name: one.rounds for name, one in found.items()}, OURS)
    told = [{**row, "version": version(row["name"]), "times": 1 / row["ratio"]} for row in rows]
    table = rates(f"Runs of six durable steps, {in_flight} in flight", "run", told, *NOTES)
    return replace(table, columns=[Column("version", "version"), *table.columns, Column("times", "tidemill's", ",.1f")])


def _latencies(found: dict[str, Found]) -> list[Table]:
    kinds = {"the first step": "first_s", "the end of the run": "done_s"}
    return [
        latencies(
            f"From an event, with nothing else in flight, to {what}",
            [{**row, "ratio": row["p50_ms"] / rows[0]["p50_ms"]} for row in rows],
        )
        for what, kind in kinds.items()
        for rows in [[percentiles(name, getattr(one, kind)) for name, one in found.items()]]
    ]


BENCHMARK = Benchmark(
    order="k",
    says="Others that run steps durably, each at its best, beside Tidemill: six steps that do nothing a run.",
    full=Size(),
    quick=Size(names="dbos,pgqueuer", rounds=1, in_flight=50, seconds=0.2, most=100, times=2),
    measure=run,
    goals=[
        Goal("times the runs/s of pgqueuer's checkpoints by hand", "pgqueuer", "times", least=3, aim=6),
        Goal("times the runs/s of dbos", "dbos", "times", least=50, aim=100),
    ],
)
