"""Twice what a daemon can sustain, for an hour: `python -m tests.fault.soak --minutes 60` tells whether memory is flat.

First the sustainable rate is found: senders who wait for each answer, and for no more runs to be queued than before.
Then hooks are posted at twice that rate, whatever the answers; of them some start stages that sleep, some have bodies
and results of a megabyte; a sink takes half a second for each thing it is told; retention removes runs and events that
are a minute old (artifacts stay for two hours at least).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from service.embedded.postgres import EmbeddedPostgres
from tests.db.receiver import receiver
from tests.fault.daemons import daemon_process
from tests.fault.processes import descendants
from tests.fault.storm import free_port

PIPELINE = "tests.fault.soaked:soaked"
FIRST_S, SAMPLE_S = 30.0, 5.0
# How many posts may be under way at once: a sender with twice the rate is not one with endless patience.
OUTSTANDING = 200
SLOW_EVERY, LARGE_EVERY, SLOW_S, LARGE_BYTES = 20, 50, 5.0, 900_000
SINK_S = 0.5
# The first third is for caches and pools to fill. What is left may grow by so much of itself.
WARM_UP, MOST_GROWTH = 1 / 3, 0.05


@dataclass
class Load:
    """Posts hooks. `answers` are counted by status; 0: no answer."""

    url: str
    numbers: Iterator[int] = field(default_factory=itertools.count)
    answers: Counter[int] = field(default_factory=Counter)
    left_out: int = 0

    async def post(self, http: httpx.AsyncClient) -> None:
        number = next(self.numbers)
        body: dict[str, Any] = {"n": number}
        if number % SLOW_EVERY == 0:
            body["slow_s"] = SLOW_S
        if number % LARGE_EVERY == 0:
            body |= {"rows": LARGE_BYTES, "large": "y" * LARGE_BYTES}
        try:
            self.answers[(await http.post(f"{self.url}/hooks/soaked", json=body)).status_code] += 1
        except httpx.HTTPError:
            self.answers[0] += 1

    async def steadily(self, http: httpx.AsyncClient, per_s: float, until: float) -> None:
        """Post at that rate. What would be more than `OUTSTANDING` at once is left out, and counted."""
        due, under_way = time.monotonic(), set[asyncio.Task[None]]()
        async with asyncio.TaskGroup() as tasks:
            while (now := time.monotonic()) < until:
                while due <= now:
                    due += 1 / per_s
                    if len(under_way) >= OUTSTANDING:
                        self.left_out += 1
                        continue
                    task = tasks.create_task(self.post(http))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                await asyncio.sleep(0.01)

    async def sustained(self, http: httpx.AsyncClient, dsn: str) -> float:
        """Runs a second that end while eight senders wait for each answer, and while many are queued for none."""

        async def send() -> None:
            while time.monotonic() < until:
                await self.post(http)
                while time.monotonic() < until and waiting[0] > 100:
                    await asyncio.sleep(0.1)

        waiting, until = [0], time.monotonic() + FIRST_S
        async with asyncio.TaskGroup() as tasks:
            for _ in range(8):
                tasks.create_task(send())
            while time.monotonic() < until:
                waiting[0] = await ask(dsn, "select count(*) from runs where state = 'queued'")
                await asyncio.sleep(0.5)
        return await ask(dsn, "select count(*) from runs where state = 'succeeded'") / FIRST_S


@dataclass
class Watch:
    """What is seen of the daemon, in bytes, every few seconds."""

    process: int
    home: Path
    dsn: str
    load: Load
    memory: list[float] = field(default_factory=list)

    async def look(self, until: float) -> None:
        began = time.monotonic()
        told = began
        while time.monotonic() < until:
            await asyncio.sleep(SAMPLE_S)
            self.memory.append(sum(map(resident, (self.process, *descendants(self.process)))))
            if time.monotonic() - told >= 60:
                told += 60
                await self._tell((time.monotonic() - began) / 60)

    async def _tell(self, minutes: float) -> None:
        states = "select string_agg(state || ' ' || n, ', ') from (select state, count(*) as n from runs group by 1) s"
        disk = await asyncio.to_thread(lambda: sum(map(size, self.home.rglob("*"))))
        answers = ", ".join(f"{status or 'none'} {count}" for status, count in sorted(self.load.answers.items()))
        print(
            f"{minutes:5.1f} min  memory {self.memory[-1] / 1e6:6.1f} MB  disk {disk / 1e6:7.1f} MB  "
            f"answers {answers}, left out {self.load.left_out}  runs {await ask(self.dsn, states)}",
            flush=True,
        )


def resident(pid: int) -> float:
    """The memory of a process, without what it shares with others; 0 for one that has ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return 0.0


def size(path: Path) -> int:
    """On disk."""
    with suppress(OSError):
        return path.stat().st_blocks * 512 if path.is_file() else 0
    return 0


def growth(samples: Sequence[float]) -> float:
    """By how much of itself the median grew, by the median of all slopes (Theil and Sen): outliers do not count."""
    kept = samples[int(len(samples) * WARM_UP) :]
    slopes = [(b - a) / (j - i) for (i, a), (j, b) in itertools.combinations(enumerate(kept), 2)]
    return statistics.median(slopes) * (len(kept) - 1) / statistics.median(kept)


async def ask(dsn: str, query: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def soak(minutes: float, folder: Path) -> bool:
    """Whether memory was flat, and nothing went wrong."""
    port = free_port()
    async with EmbeddedPostgres(folder / "server") as dsn, receiver() as sink:
        sink.pause_s, sink.forgetful = SINK_S, True
        variables = {
            "TIDEMILL_HTTP_PORT": str(port),
            "TIDEMILL_EXECUTOR_LEASE_S": "10",
            "TIDEMILL_LIFECYCLE_URL": f"{sink.url}/told",
            "TIDEMILL_RETENTION_DAYS": str(60 / 86_400),
            "TIDEMILL_RETENTION_EVENTS_DAYS": str(60 / 86_400),
            "TIDEMILL_RETENTION_EVERY_S": "30",
            "TIDEMILL_LOG_LEVEL": "warning",
        }
        daemon = daemon_process(dsn, folder / "daemon", PIPELINE, roles="api,triggers,executor", **variables)
        limits = httpx.Limits(max_connections=OUTSTANDING)
        async with daemon as process, httpx.AsyncClient(timeout=60, limits=limits) as http:
            load = Load(f"http://127.0.0.1:{port}")
            per_s = await load.sustained(http, dsn)
            print(f"sustained {per_s:.0f} runs/s; now {2 * per_s:.0f} hooks/s for {minutes:g} minutes", flush=True)
            watch, until = Watch(process.pid, folder, dsn, load), time.monotonic() + 60 * minutes
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(watch.look(until))
                tasks.create_task(load.steadily(http, 2 * per_s, until))
            return verdict(watch, load, alive=process.returncode is None)


def verdict(watch: Watch, load: Load, *, alive: bool) -> bool:
    """Tell it."""
    grew = growth(watch.memory)
    wrong = {status: count for status, count in load.answers.items() if status not in (202, 429, 503)}
    flat = grew <= MOST_GROWTH
    print(f"memory grew by {100 * grew:.1f} % of its median after the first third: {'flat' if flat else 'NOT FLAT'}")
    print(f"the daemon {'lives' if alive else 'HAS ENDED'}; other answers than 202, 429, 503: {wrong or 'none'}")
    return flat and alive and not wrong


def main() -> None:
    """Exits with 1 when the verdict is bad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemill-soak-") as folder:
        sys.exit(0 if asyncio.run(soak(given.minutes, Path(folder))) else 1)


if __name__ == "__main__":
    main()
