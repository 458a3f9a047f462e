"""Where the CPU time of `runs` (with as many in flight as there, and as in `peers`) and of `stream` goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import stream
from benchmarks.benchmark import Benchmark
from benchmarks.ground import ground
from benchmarks.runs import start
from benchmarks.sampling import Place, Samples
from benchmarks.tables import Column, Table
from service.embedded.kafka import EmbeddedKafka

TOP = 12
SHARE = Column("share", "%", ".1f")
# What a sample was for: of the innermost of these files that is in its stack.
PURPOSES = {
    "records: fetching, unpacking, gathering, decoding": (
        *("aiokafka", "asyncio/streams.py", "triggers/kafka", "stages/records.py", "benchmarks/stream.py"),
    ),
    "events: making them, and waiting for runs": (
        "benchmarks/runs.py",
        "benchmarks/measuring.py",
        "benchmarks/ground.py",
    ),
    "runner: inputs, the call, encoding and digesting what it returned": (
        *("stages/runners", "stages/invoke.py", "stages/values.py", "stages/codecs", "stages/outcome.py"),
        *("stages/artifacts.py", "stages/params.py", "stages/secret_params.py", "stages/threads.py"),
        *("service/attended.py", "service/logs/stages.py"),
    ),
    "asyncpg: rows into messages and back": ("asyncpg",),
    "writer: units, rows, answers": ("service/db",),
    "deciding, keys, the run's state": (
        *("service/machine.py", "service/model.py", "stages/plan.py", "service/loops/live.py"),
    ),
    "inbox: events into rows": ("service/inbox.py", "service/limits.py", "service/terms.py", "triggers"),
    "driver and executor: tasks, calls, what follows": ("service/loops",),
}
# What the library compiles for each dataclass.
MADE = ("<string>", "__create_fn__.<locals>.__init__")
NOTE = (
    "Two milliseconds of CPU time a sample. Python is asked when a function is entered, so that compiled code counts "
    "for what is entered next: `_itself`, which does nothing, stands for the unpacking of a record, and "
    "`ABCMeta.__instancecheck__` for asyncpg, which asks of each row whether it is a list."
)
REST = "the event loop and the rest"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is looked at. `in_flight` is that of `runs`, `fewer` that of `peers`."""

    runs: int = 30_000
    in_flight: int = 500
    fewer: int = 200
    records: int = 1_000_000


async def run(size: Size) -> Sequence[Table]:
    """Sample; what is told."""
    found = {
        f"runs, {size.in_flight} in flight": await _runs(size.runs, size.in_flight),
        f"runs, {size.fewer} in flight": await _runs(size.runs, size.fewer),
        "stream": await _stream(size.records),
    }
    return [_purposes(found), *(_functions(name, samples) for name, samples in found.items())]


async def _runs(runs: int, in_flight: int) -> Samples:
    samples = Samples()
    async with ground() as here, asyncio.TaskGroup() as tasks:
        system = await start(here, in_flight, tasks)
        await system.work(min(runs, 2_000))
        with samples.taken():
            await system.work(runs)
        system.daemon.stop()
    return samples


async def _stream(records: int) -> Samples:
    samples, size = Samples(), stream.Size(records=records)
    async with ground() as here, EmbeddedKafka(here.folder) as servers:
        await stream.produce(servers, size)
        await stream.ours(here, servers, size, samples.taken)
    return samples


def _purposes(found: Mapping[str, Samples]) -> Table:
    shares = {name: _shares(samples, _purpose) for name, samples in found.items()}
    rows = [
        {"name": purpose, **{name: share[purpose] for name, share in shares.items() if purpose in share}}
        for purpose in (*PURPOSES, REST)
    ]
    columns = [Column(name, f"{name} %", ".0f") for name in found]
    counts = f"Samples: {', '.join(f'{samples.total:,}' for samples in found.values())}."
    return Table("CPU time by purpose", columns, [row for row in rows if len(row) > 1], [NOTE, counts])


def _functions(name: str, samples: Samples) -> Table:
    shares = Counter(_shares(samples, _function))
    top = shares.most_common(TOP)
    rows: list[dict[str, Any]] = [{"name": function, "share": share} for function, share in top]
    rest, least = len(shares) - len(top), min((share for _, share in top), default=0.0)
    rows.append({"name": f"{rest} others, none above {least:.1f}", "share": 100 - sum(share for _, share in top)})
    return Table(f"Own time of functions: {name}", [SHARE], rows)


def _shares(samples: Samples, by: Callable[[tuple[Place, ...]], str]) -> dict[str, float]:
    counted: Counter[str] = Counter()
    for stack, times in samples.stacks.items():
        counted[by(stack)] += times
    return {name: times / samples.total * 100 for name, times in counted.items()}


def _function(stack: tuple[Place, ...]) -> str:
    file, name = stack[-1] if stack else ("", "nothing")
    if (file, name) == MADE:
        return "constructors of dataclasses"
    return f"{name.replace('.<locals>', '')} ({file.strip('<>').removeprefix('frozen ')})"


def _purpose(stack: tuple[Place, ...]) -> str:
    for file, _ in reversed(stack):
        for purpose, files in PURPOSES.items():
            if file.startswith(files):
                return purpose
    return REST


BENCHMARK = Benchmark(
    order="q",
    says="Where the CPU time of `runs` and `stream` goes, by samples of it: for what, and in which functions.",
    full=Size(),
    quick=Size(runs=400, in_flight=50, fewer=20, records=20_000),
    measure=run,
)
