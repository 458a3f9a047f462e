"""How each format of lock becomes an environment: the programs to run, one after the other."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stages.environments.lock import Format
from stages.errors import NoEnvironment

CONDAS = ("micromamba", "mamba", "conda")


@dataclass(frozen=True, slots=True)
class Step:
    """One program, run beside the lock file, with these variables of its own."""

    program: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


def uv() -> str:
    """The daemon's own uv, or the one on the PATH. Raises `NoEnvironment`."""
    own = Path(sys.executable).with_name("uv")
    found = str(own) if own.is_file() else shutil.which("uv")
    if found is None:
        raise NoEnvironment("uv is not installed, and makes the environments of stages: pip install uv")
    return found


def empty(to: Path) -> Step:
    """An environment without packages. It may be moved."""
    options = ("--quiet", "--no-project", "--relocatable", "--python", sys.executable)
    return Step([uv(), "venv", *options, str(to)])


def installing(to: Path, requirements: Sequence[str]) -> Step:
    """Put exactly these packages into an environment, and nothing they ask for."""
    return Step([uv(), "pip", "install", "--python", str(to / "bin/python"), "--no-deps", *requirements])


def making(kind: Format, lock: Path, to: Path) -> list[Step]:
    """The environment of a lock at `to`. Raises `NoEnvironment` naming the tool that is missing."""
    if kind is Format.REQUIREMENTS:
        return [empty(to), _requirements(lock, to)]
    if kind is Format.UV:
        return [empty(to), _uv_sync(lock, to)]
    if kind is Format.POETRY:
        return [empty(to), _poetry(lock, to)]
    return [_conda(lock, to)]


def _requirements(lock: Path, to: Path) -> Step:
    hashes = ["--require-hashes"] if "--hash=" in lock.read_text(encoding="utf-8") else []
    return Step([uv(), "pip", "install", "--python", str(to / "bin/python"), *hashes, "-r", str(lock)])


def _uv_sync(lock: Path, to: Path) -> Step:
    options = ("--frozen", "--no-dev", "--no-install-workspace", "--project", str(lock.parent))
    return Step([uv(), "sync", *options], {"UV_PROJECT_ENVIRONMENT": str(to)})


def _poetry(lock: Path, to: Path) -> Step:
    """Poetry installs into the environment that is active."""
    poetry = shutil.which("poetry")
    if poetry is None:
        raise NoEnvironment(f"{lock.name} needs Poetry, which is not on the PATH: install it (pipx install poetry)")
    environment = {
        "VIRTUAL_ENV": str(to),
        "POETRY_VIRTUALENVS_CREATE": "false",
        "POETRY_VIRTUALENVS_IN_PROJECT": "false",
    }
    return Step([poetry, "install", "--no-interaction", "--no-root", "--only", "main"], environment)


def _conda(lock: Path, to: Path) -> Step:
    """Conda writes its own path into what it installs: it must make the environment where it stays."""
    conda = next((found for name in CONDAS if (found := shutil.which(name)) is not None), None)
    if conda is None:
        raise NoEnvironment(
            f"{lock.name} is an environment of conda, and none of {', '.join(CONDAS)} is on the PATH: install "
            f"micromamba, or give the stage a requirements.lock"
        )
    verb = ["create"] if Path(conda).name == "micromamba" else ["env", "create"]
    return Step([conda, *verb, "--yes", "--quiet", "--prefix", str(to), "--file", str(lock)])
