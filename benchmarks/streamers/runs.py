"""Runs a streamer as a process, in a Python of its own where it has a lock file."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sys
from pathlib import Path
from typing import Any

import orjson

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class Unavailable(Exception):
    """A streamer cannot be run here. Says why."""


async def faust(servers: str, topic: str, records: int) -> dict[str, Any]:
    """Faust, which is one of our own packages. Raises `Unavailable`."""
    return await _run(sys.executable, "-m", "benchmarks.streamers.faust_agent", servers, topic, f"{records}")


async def quix(servers: str, topic: str, records: int) -> dict[str, Any]:
    """Quix Streams. Raises `Unavailable`."""
    python = await _python("quix")
    return await _run(str(python), str(HERE / "quix.py"), servers, topic, f"{records}")


async def _python(name: str) -> Path:
    """The interpreter with the packages of a lock file, made on demand below .venv/streamers."""
    lock, folder = HERE / f"{name}.lock", ROOT / ".venv" / "streamers" / name
    python, made = folder / "bin" / "python", folder / "made-from"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not made.exists() or made.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        uv = str(Path(sys.prefix, "bin", "uv"))
        await _do(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        await _do(uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(lock))
        made.write_text(digest)
    return python


async def _run(*command: str) -> dict[str, Any]:
    answer: dict[str, Any] = orjson.loads((await _do(*command)).splitlines()[-1])
    return answer


async def _do(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    told, trouble = await process.communicate()
    if process.returncode:
        last = trouble.decode(errors="replace").strip().splitlines()[-1:]
        raise Unavailable(f"{Path(command[0]).name} {' '.join(command[1:3])}: {' '.join(last)}")
    return told
