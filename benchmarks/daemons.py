"""Daemons under measurement: in this process, or as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.ground import Ground
from service.app import Daemon
from service.build import open_daemon
from service.catalogue import Catalogue
from service.garbage import settle
from service.settings import Artifacts, Database, Executor, Http, Role, Settings
from stages import Pipeline
from triggers.base import KafkaAccess

ROOT = Path(__file__).parents[1]
READY_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def here_settings(here: Ground, *roles: Role, max_runs: int = 200, lease_s: float = 30.0) -> Settings:
    """Settings of a daemon on this ground."""
    return Settings(
        root=here.folder,
        home=here.folder / "home",
        roles=roles,
        database=Database(url=here.dsn),
        http=Http(port=0),
        executor=Executor(max_runs=max_runs, lease_s=lease_s, warm_workers=0),
        artifacts=Artifacts(url=(here.folder / "artifacts").as_uri()),
    )


async def start_daemon(
    settings: Settings, pipelines: Sequence[Pipeline], tasks: asyncio.TaskGroup, kafka: KafkaAccess | None = None
) -> Daemon:
    """A daemon in this process, as `tidemill serve` runs it, that is ready. `stop` it at the end."""
    catalogue = Catalogue({one.name: one for one in pipelines}, {one.name: "-" for one in pipelines})
    daemon = await open_daemon(settings, catalogue, kafka)
    ready = asyncio.Event()

    async def started(_: Daemon) -> None:
        ready.set()

    tasks.create_task(daemon.run(started))
    await ready.wait()
    settle()
    return daemon


@asynccontextmanager
async def daemon_process(
    folder: Path, command: str = "serve", **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`tidemill` as a process that is ready when the block begins. It is killed at the end if it still runs.

    `variables` are its environment, besides that of this process.
    """
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    environment |= {"TIDEMILL_HOME": str(folder / "home"), "TIDEMILL_ROOT": str(folder), "TIDEMILL_HTTP_PORT": "0"}
    environment |= {"TIDEMILL_LOG_LEVEL": "warning", **variables}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from service.cli.entry import main; main()", command),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        await _ready(process)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(READY_S):
        while b"Pipelines" not in (line := await process.stdout.readline()):
            if not line:
                raise RuntimeError("the daemon ended before it was ready")


def cpu_s(pids: Iterable[int]) -> float:
    """CPU time that these processes have had so far. One that is gone counts nothing."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            ticks += sum(map(int, _stat(pid)[11:13]))
    return ticks / _TICKS_PER_S


def tree_s(*pids: int) -> float:
    """CPU time of these processes, and of those they have started that have ended."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            ticks += sum(map(int, _stat(pid)[11:15]))
    return ticks / _TICKS_PER_S


def memory_mb(pid: int) -> float:
    """Memory of a process that is its own, and its part of what it shares, in 10^6 bytes (proc_pid_smaps(5))."""
    return _memory(pid, "Pss:")


def resident_mb(pid: int) -> float:
    """Memory of a process as other tools show it: what it shares counts in full."""
    return _memory(pid, "Rss:")


def _memory(pid: int, kind: str) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        [size_kib] = [line.split()[1] for line in lines if line.startswith(kind)]
        return int(size_kib) * 1024 / 1e6
    return 0.0


def children(pid: int) -> dict[int, str]:
    """The names of all processes below `pid`, by their ids."""
    parents: dict[int, list[tuple[int, str]]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parent = int(_stat(int(folder.name))[1])
            parents.setdefault(parent, []).append((int(folder.name), (folder / "comm").read_text().strip()))
    found, todo = {}, [pid]
    while todo:
        for child, name in parents.get(todo.pop(), ()):
            found[child] = name
            todo.append(child)
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on (proc_pid_stat(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
