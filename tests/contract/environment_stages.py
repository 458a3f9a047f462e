"""Stages with packages of their own. This module imports nothing but what every environment has."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

from pydantic import BaseModel

from stages import Event, Pipeline, StageContext, stage


class Seen(BaseModel):
    """What a stage finds around it."""

    python: str
    packages: list[str]
    six: str
    absent: list[str]
    tool: str


def version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@stage(environment="requirements-six.lock")
def looks_around() -> Seen:
    import six  # type: ignore[import-untyped]

    code = "import six; print(six.__version__)"
    tool = subprocess.run(["python", "-c", code], capture_output=True, text=True, check=True)
    daemons = ("asyncpg", "aiokafka", "polars", "numpy", "pytest", "rich", "starlette", "uvloop", "obstore")
    return Seen(
        python=sys.executable,
        packages=sorted(one.metadata["Name"].lower().replace("_", "-") for one in distributions()),
        six=six.__version__,
        absent=[name for name in daemons if importlib.util.find_spec(name) is None],
        tool=tool.stdout.strip(),
    )


@stage(environment="requirements-six.lock")
def versions(event: Event) -> dict[str, str]:
    return {name: version_of(name) for name in event.data["names"]}


@stage(environment="requirements-six.lock", memory_bytes=50_000_000)
def takes_memory(event: Event) -> int:
    return len(bytearray(event.data["bytes"]))


@stage(environment="requirements-six.lock", cpu_s=1)
def burns() -> None:
    while True:
        pass


@stage(environment="requirements-six.lock")
def told(context: StageContext) -> list[str | None]:
    """What the daemon's own variables are in here."""
    names = ("TIDEMILL_DATABASE_URL", "TIDEMILL_ARTIFACTS", "PYTHONHOME", "MINE")
    return [os.environ.get(name) for name in names]


@stage(environment="requirements-six.lock")
def where() -> str:
    return str(Path.cwd())


pipeline = Pipeline("environments", [looks_around, versions, takes_memory, burns, told, where])
