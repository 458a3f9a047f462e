"""A Python for each contender, with the packages of its lock file alone, made on demand below .venv/peers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OURS = "tidemill"
# Servers that come as packages of npm, without their install scripts.
SERVERS = {"restate": HERE / "restate-server"}


class NoPeer(Exception):
    """A contender's packages could not be installed. Says what to do."""


def peer_names() -> list[str]:
    """Everybody there is a lock file for."""
    return sorted(path.stem for path in HERE.glob("*.lock"))


def version(name: str) -> str:
    """The version that is pinned; of ourselves, none."""
    if name == OURS:
        return ""
    package = {"restate": "restate-sdk"}.get(name, name)
    [found] = re.findall(rf"^{package}==(\S+)", _lock(name).read_text(), flags=re.MULTILINE)
    if name not in SERVERS:
        return str(found)
    [server] = json.loads((SERVERS[name] / "package.json").read_text())["dependencies"].values()
    return f"{found}, server {server}"


async def python_of(name: str) -> Path:
    """The interpreter to run a contender with. Raises `NoPeer`."""
    if name == OURS:
        return Path(sys.executable)
    folder = ROOT / ".venv" / "peers" / name
    python, made = folder / "bin" / "python", folder / "made-from"
    digest = _digest(name)
    if not made.exists() or made.read_text() != digest:
        shutil.rmtree(folder, ignore_errors=True)
        uv = str(Path(sys.prefix, "bin", "uv"))
        await _do(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        install = ("pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(_lock(name)))
        await _do(uv, *install)
        if name in SERVERS:
            # npm takes a folder behind a link for another one than its lock file is of.
            await _install_server(SERVERS[name], (folder / "server").resolve())
        made.write_text(digest)
    return python


async def _install_server(source: Path, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NoPeer(f"{source.name} comes from npm: install Node.js, or leave it out with --names")
    shutil.copytree(source, folder)
    await _do(npm, "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder))


async def _do(*command: str) -> None:
    pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.STDOUT}
    process = await asyncio.create_subprocess_exec(*command, **pipes)  # type: ignore[arg-type]
    said, _ = await process.communicate()
    if process.returncode:
        raise NoPeer(f"`{' '.join(command)}` failed:\n{said.decode(errors='replace')}")


def _lock(name: str) -> Path:
    if name not in peer_names():
        raise NoPeer(f"nobody is called {name!r}: there are {', '.join(peer_names())}")
    return HERE / f"{name}.lock"


def _digest(name: str) -> str:
    files = [_lock(name), *sorted(SERVERS[name].iterdir() if name in SERVERS else ())]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
