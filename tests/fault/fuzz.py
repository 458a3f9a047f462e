"""Throws mutated requests and raw garbage at every HTTP address of a real daemon, and watches its answers and memory.

    python -m tests.fault.fuzz --minutes 10

Fails on a 5xx (503 while Postgres is away aside), a traceback in the log, a daemon that ended, or memory that grows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.fault.attacks import Attacker, addresses

ROOT = Path(__file__).parents[2]
PIPELINES = ",".join(f"tests.fault.fuzzed:{name}" for name in ("fuzzed", "gated", "follows", "broken"))
CLIENTS = 8
ANSWER_S = 10.0
SAMPLE_S = 1.0
# Caches, the allocator and the first runs of everything take their share before the memory is looked at.
MOST_GROWTH = 1.25


@dataclass(slots=True)
class Findings:
    """What came of it. `failures` should be empty."""

    seed: int
    statuses: Counter[str] = field(default_factory=Counter)
    memory: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def growth(self) -> float:
        """The memory of the last quarter against that of the second."""
        quarter = len(self.memory) // 4
        if quarter < 2:
            return 1.0
        return statistics.median(self.memory[-quarter:]) / statistics.median(self.memory[quarter : 2 * quarter])

    def told(self) -> str:
        """For a person."""
        attacks = sum(self.statuses.values())
        counts = ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items()))
        first, last = (self.memory[0], self.memory[-1]) if self.memory else (0, 0)
        lines = [f"{attacks} answers or silences by seed {self.seed}: {counts}"]
        lines += [f"memory {first >> 20} MiB at first, {last >> 20} MiB at last, grew {self.growth():.3f}-fold"]
        tenths = [self.memory[len(self.memory) * tenth // 10] / (1 << 20) for tenth in range(10)] if self.memory else []
        lines += ["by tenths of the time: " + ", ".join(f"{one:.1f}" for one in tenths)]
        return "\n".join([*lines, *(f"FAILED: {one}" for one in self.failures[:20])])


async def fuzz(dsn: str, folder: Path, seconds: float, seed: int) -> Findings:
    """Attack a daemon of its own for that long."""
    findings = Findings(seed)
    log = folder / "daemon.log"
    async with attacked(dsn, folder, log) as (process, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/openapi.json") as answer:
            known = addresses(json.load(answer))
        ends = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            for client in range(CLIENTS):
                tasks.create_task(_attack(port, Attacker(seed * 1000 + client, known), ends, findings))
            tasks.create_task(_watch(process.pid, ends, findings))
        if process.returncode is not None:
            findings.failures.append(f"the daemon ended with {process.returncode}")
        else:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=10) as answer:
                assert answer.status == 200
    text = log.read_text(errors="replace")
    if "Traceback" in text or "ERROR" in text:
        place = min(text.find(word) for word in ("Traceback", "ERROR") if word in text)
        findings.failures.append(f"the log tells of an error: {text[max(0, place - 300) : place + 3000]}")
    if findings.growth() > MOST_GROWTH:
        findings.failures.append(f"memory grew {findings.growth():.2f}-fold")
    return findings


async def _attack(port: int, attacker: Attacker, ends: float, findings: Findings) -> None:
    while time.monotonic() < ends:
        pieces = attacker.attack()
        statuses = await _exchange(port, pieces)
        for status in statuses or ["no answer"]:
            findings.statuses[status] += 1
            if status.startswith("5"):
                findings.failures.append(f"{status} to {b''.join(pieces)[:600]!r}")


async def _exchange(port: int, pieces: list[bytes]) -> list[str]:
    """The status of each answer that came: none may come where what was sent is no whole request."""
    answered = b""
    writer = None
    try:
        async with asyncio.timeout(ANSWER_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.25):
                    while part := await reader.read(65_536):
                        answered += part
    except (OSError, TimeoutError):
        pass
    finally:
        if writer is not None:
            writer.transport.abort()
    return [line[9:12].decode("latin-1") for line in answered.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


async def _watch(pid: int, ends: float, findings: Findings) -> None:
    while time.monotonic() < ends:
        with contextlib.suppress(OSError, IndexError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            findings.memory.append(pages * os.sysconf("SC_PAGE_SIZE"))
        await asyncio.sleep(SAMPLE_S)


@asynccontextmanager
async def attacked(dsn: str, folder: Path, log: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A daemon that serves the API and drives runs, and its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    environment |= {
        "TIDEMILL_DATABASE_URL": dsn,
        "TIDEMILL_HOME": str(folder / "home"),
        "TIDEMILL_ROOT": str(ROOT),
        "TIDEMILL_PIPELINES": PIPELINES,
        "TIDEMILL_ROLES": "api,executor",
        "TIDEMILL_HTTP_PORT": str(port),
    }
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from service.cli.main import main; main()", "serve"),
            cwd=ROOT,
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        await _up(process, port)
        yield process, port
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _up(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(60):
        while process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)
    raise RuntimeError("the daemon did not start")


async def _by_hand(minutes: float, seed: int) -> Findings:
    from service.embedded.postgres import EmbeddedPostgres

    with tempfile.TemporaryDirectory(prefix="tidemill-fuzz-") as name:
        folder = Path(name)
        server = EmbeddedPostgres(folder)
        dsn = await server.start()
        try:
            return await fuzz(dsn, folder, minutes * 60, seed)
        finally:
            await server.stop()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = parser.parse_args()
    findings = asyncio.run(_by_hand(given.minutes, given.seed))
    print(findings.told())
    sys.exit(bool(findings.failures))


if __name__ == "__main__":
    main()
