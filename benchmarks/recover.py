"""(f) `kill -9` of a daemon with ten thousand runs in flight: until all are adopted, and until all are done."""

from __future__ import annotations

import asyncio
import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import cpu_s, daemon_process, here_settings, start_daemon
from benchmarks.ground import Ground, ground
from benchmarks.held import held
from benchmarks.tables import Column, Goal, Table
from service.settings import Role
from triggers.base import Arrival, Inbox, Offer
from triggers.event import Event, utc_now

BATCH = 500
COLUMNS = [
    Column("lease_s", "lease s", ".1f"),
    Column("adopted_s", "all adopted s", ".2f"),
    Column("spread", "spread"),
    Column("done_s", "all done s", ".2f"),
    Column("per_s", "runs/s"),
    Column("cpu_us", "CPU us/run"),
    Column("commits", "commits/run", ".3f"),
]
# From when the dead daemon's lease lapsed, by the database's clock.
SINCE = """
select extract(epoch from clock_timestamp() - (renewed_at + make_interval(secs => lease_s)))::float8 as since_s,
    lease_s
from daemons where pid = $1
"""
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    runs: int = 10_000
    rounds: int = 3
    lease_s: int = 5


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    async with ground() as here, asyncio.TaskGroup() as tasks:
        giver = await start_daemon(here_settings(here, Role.TRIGGERS), [held], tasks)
        rounds = [await _round(here, giver.inbox, size) for _ in range(size.rounds)]
        giver.stop()
    middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
    adopted = [one["adopted_s"] for one in rounds]
    spread = f"{min(adopted):.2f} - {max(adopted):.2f}"
    row = {"name": f"{size.runs:,} runs in flight", **middle, "spread": spread, "rounds": rounds}
    note = "Seconds are counted from the end of the dead daemon's lease, which lapses that long after its last write."
    return [Table("A daemon is killed, another one goes on", COLUMNS, [row], [note])]


async def _round(here: Ground, inbox: Inbox, size: Size) -> dict[str, Any]:
    await here.execute("truncate runs, attempts, events")
    settings = {
        "TIDEMILL_DATABASE_URL": here.dsn,
        "TIDEMILL_PIPELINES": "benchmarks.held:held",
        "TIDEMILL_ROLES": "executor",
        "TIDEMILL_EXECUTOR_MAX_RUNS": str(size.runs),
        "TIDEMILL_EXECUTOR_LEASE_S": str(size.lease_s),
    }
    async with daemon_process(here.folder, BENCHMARK_HOLDS="yes", **settings) as first:
        await give(inbox, size.runs)
        await here.reaches("select count(*) from attempts where state = 'running'", size.runs)
        async with daemon_process(here.folder, **settings) as second:
            used_s, commits = cpu_s([second.pid]), await here.commits()
            first.kill()
            await first.wait()
            await here.reaches("select count(*) from runs where epoch > 1", size.runs)
            adopted_s, lease_s = await here.watcher.fetchrow(SINCE, first.pid)
            await here.reaches("select count(*) from runs where state = 'succeeded'", size.runs)
            done_s, _ = await here.watcher.fetchrow(SINCE, first.pid)
            return {
                "lease_s": lease_s,
                "adopted_s": adopted_s,
                "done_s": done_s,
                "per_s": size.runs / done_s,
                "cpu_us": (cpu_s([second.pid]) - used_s) / size.runs * 1e6,
                "commits": (await here.commits() - commits) / size.runs,
            }


async def give(inbox: Inbox, runs: int) -> None:
    """Accept events for so many runs of `held`."""
    for start in range(0, runs, BATCH):
        events = [
            Event(source="benchmarks", id=f"{next(_numbers)}", type="benchmark", time=utc_now())
            for _ in range(start, min(start + BATCH, runs))
        ]
        await inbox.accept([Arrival(event, [Offer(held.name, "benchmark")]) for event in events])


BENCHMARK = Benchmark(
    order="f",
    says="`kill -9` of a daemon whose runs are all within their second stage of four; another daemon is there.",
    full=Size(),
    quick=Size(runs=100, rounds=1, lease_s=1),
    measure=run,
    goals=[Goal("all adopted once the lease has lapsed", 0, "adopted_s", most=2, aim=0.5, unit=" s")],
)
