"""Daemons as processes of their own, to be killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


@asynccontextmanager
async def daemon_process(
    dsn: str, folder: Path, *pipelines: str, roles: str = "executor", code: Path = ROOT, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`tidemill serve` that is ready when the block begins, and is killed at its end if it still runs."""
    async with starting_daemon(dsn, folder, *pipelines, roles=roles, code=code, **variables) as process:
        await _ready(process)
        yield process


@asynccontextmanager
async def starting_daemon(
    dsn: str, folder: Path, *pipelines: str, roles: str = "executor", code: Path = ROOT, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The same, from the moment that it is a process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    environment |= {
        "TIDEMILL_DATABASE_URL": dsn,
        "TIDEMILL_HOME": str(folder / "home"),
        "TIDEMILL_ROOT": str(code),
        "TIDEMILL_PIPELINES": ",".join(pipelines),
        "TIDEMILL_ROLES": roles,
        "TIDEMILL_HTTP_PORT": "0",
        "TIDEMILL_EXECUTOR_LEASE_S": "1",
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from service.cli.main import main; main()", "serve"),
        cwd=code,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    async with asyncio.timeout(30):
        while b"Pipelines" not in (line := await process.stdout.readline()):
            assert line, "the daemon ended before it was ready"
