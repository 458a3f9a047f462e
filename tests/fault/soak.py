"""Twice what a daemon can sustain, for an hour: `python -m tests.fault.soak --minutes 60` tells whether memory is flat.

First the sustainable rate is found: eight senders who wait for each answer, and for no more runs to be queued than
before. Then hooks are posted at twice that rate, whatever the answers; of them some start stages that sleep, some have
bodies and results of a megabyte; a sink takes half a second for each thing it is told; retention removes runs and
events that are a minute old (artifacts stay for two hours at least).

Each minute tells what a hook cost in CPU time: the daemon, the database and the sender share the machine with whatever
else is on it, so hooks a second alone do not say who got slower.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from service.embedded.postgres import EmbeddedPostgres
from tests.db.receiver import receiver
from tests.fault.daemons import daemon_process
from tests.fault.flatness import Judgement, judged
from tests.fault.posts import Posts
from tests.fault.processes import descendants
from tests.fault.storm import free_port

PIPELINE = "tests.fault.soaked:soaked"
FIRST_S, SAMPLE_S = 30.0, 2.0
SUSTAINED_SENDERS, SUSTAINED_QUEUE = 8, 100
# How many posts may be under way at once: a sender with twice the rate is not one with endless patience.
OUTSTANDING = 200
SLOW_EVERY, LARGE_EVERY, SLOW_S, LARGE_BYTES = 20, 50, 5.0, 900_000
SINK_S = 0.5
LARGE = b"y" * LARGE_BYTES
HEAD = b"POST /hooks/soaked HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
TICKS = os.sysconf("SC_CLK_TCK")


def request(number: int) -> bytes:
    """A hook, as it goes over the wire."""
    body = b'{"n":%d' % number
    if number % SLOW_EVERY == 0:
        body += b',"slow_s":%g' % SLOW_S
    if number % LARGE_EVERY == 0:
        body += b',"rows":%d,"large":"%b"' % (LARGE_BYTES, LARGE)
    return HEAD % (len(body) + 1) + body + b"}"


async def sustained(posts: Posts, dsn: str) -> float:
    """Runs a second that end while few send, each waits for its answer, and all wait while many runs are queued."""
    until, queued = time.monotonic() + FIRST_S, 0

    async def look() -> None:
        nonlocal queued
        while time.monotonic() < until:
            queued = await ask(dsn, "select count(*) from runs where state = 'queued'")
            await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(look())
        tasks.create_task(posts.post(10_000, until, SUSTAINED_SENDERS, lambda: queued > SUSTAINED_QUEUE))
    posts.left_out = 0
    return await ask(dsn, "select count(*) from runs where state = 'succeeded'") / FIRST_S


@dataclass
class Spent:
    """What had been used by a moment: hooks that were answered, seconds of CPU time, and those for which the daemon's
    loop was ready while others had the cores.
    """

    at: float
    answered: int
    waited_s: float
    daemon_s: float
    others_s: float
    sender_s: float


@dataclass
class Watch:
    """What is seen of the daemon: its memory every few seconds, in bytes, and the hooks it had accepted by then."""

    process: int
    home: Path
    dsn: str
    posts: Posts
    memory: list[float] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)

    async def look(self, until: float) -> None:
        """Watch until then."""
        began, before = time.monotonic(), self._spent()
        while time.monotonic() < until:
            await asyncio.sleep(SAMPLE_S)
            self.memory.append(sum(map(resident, (self.process, *descendants(self.process)))))
            self.accepted.append(self.posts.answers[202])
            if time.monotonic() - before.at >= 60:
                now = self._spent()
                await self._tell((now.at - began) / 60, before, now)
                before = now
                self.posts.took_s.clear()

    def _spent(self) -> Spent:
        daemon = {self.process, *descendants(self.process)}
        others = set(descendants(os.getpid())) - daemon
        answered = sum(self.posts.answers.values())
        cpu = (sum(map(cpu_s, daemon)), sum(map(cpu_s, others)), time.process_time())
        return Spent(time.monotonic(), answered, waited_s(self.process), *cpu)

    async def _tell(self, minutes: float, before: Spent, now: Spent) -> None:
        states = "select string_agg(state || ' ' || n, ', ') from (select state, count(*) as n from runs group by 1) s"
        disk = await asyncio.to_thread(lambda: sum(map(size, self.home.rglob("*"))))
        hooks = max(now.answered - before.answered, 1)
        took = statistics.quantiles(self.posts.took_s, n=100) if len(self.posts.took_s) > 1 else [0.0] * 99
        cpu = [
            f"{who} {1000 * (getattr(now, name) - getattr(before, name)) / hooks:.2f}"
            for who, name in (("daemon", "daemon_s"), ("Postgres", "others_s"), ("sender", "sender_s"))
        ]
        answers = ", ".join(f"{status or 'none'} {count}" for status, count in sorted(self.posts.answers.items()))
        print(
            f"{minutes:5.1f} min  memory {self.memory[-1] / 1e6:6.1f} MB  disk {disk / 1e6:7.1f} MB  "
            f"hooks/s {hooks / (now.at - before.at):5.1f}, answered in {took[49]:.2f} s, p99 {took[98]:.2f} s  "
            f"CPU ms a hook: {', '.join(cpu)}; the daemon waited {now.waited_s - before.waited_s:.0f} s for a core  "
            f"answers {answers}, left out {self.posts.left_out}  runs {await ask(self.dsn, states)}",
            flush=True,
        )


def cpu_s(pid: int) -> float:
    """The CPU time of a process and of its children that have ended; 0 for one that has ended itself."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS
    return 0.0


def waited_s(pid: int) -> float:
    """How long the first thread of a process was ready and had to wait (Linux, schedstat); 0 once it has ended."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    return 0.0


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
        async with daemon as process:
            posts = Posts(port, request)
            per_s = await sustained(posts, dsn)
            print(f"sustained {per_s:.0f} runs/s; now {2 * per_s:.0f} hooks/s for {minutes:g} minutes", flush=True)
            watch, until = Watch(process.pid, folder, dsn, posts), time.monotonic() + 60 * minutes
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(watch.look(until))
                tasks.create_task(posts.post(2 * per_s, until, OUTSTANDING))
            return verdict(judged(watch.memory, watch.accepted), posts, alive=process.returncode is None)


def verdict(judgement: Judgement, posts: Posts, *, alive: bool) -> bool:
    """Tell it."""
    wrong = {status: count for status, count in posts.answers.items() if status not in (202, 429, 503)}
    print(f"memory {judgement}")
    print(f"the daemon {'lives' if alive else 'HAS ENDED'}; other answers than 202, 429, 503: {wrong or 'none'}")
    return judgement.flat and alive and not wrong


def main() -> None:
    """Exits with 1 when the verdict is bad."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tidemill-soak-") as folder:
        sys.exit(0 if uvloop.run(soak(given.minutes, Path(folder))) else 1)


if __name__ == "__main__":
    main()
