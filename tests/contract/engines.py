"""A container engine's CLI for tests: `fake_engine.py` as a command."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGE = f"registry.example/flights@sha256:{'0' * 64}"


@contextmanager
def fake_engine(home: Path, name: str = "docker") -> Iterator[str]:
    """The path of the command; what it records lies in the folder `engine` of `home`."""
    folder = home / "engine"
    folder.mkdir()
    command = folder / name
    variables = f"FAKE_ENGINE={folder} FAKE_PYTHONPATH={ROOT}"
    command.write_text(f'#!/bin/sh\nexec env {variables} {sys.executable} {ROOT}/tests/contract/fake_engine.py "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    yield str(command)


def calls(home: Path, verb: str) -> list[list[str]]:
    """The command lines of that verb."""
    file = home / "engine" / "calls"
    lines = file.read_text().splitlines() if file.exists() else []
    return [call for call in map(json.loads, lines) if call[0] == verb]


def containers(home: Path) -> dict[str, int]:
    """The containers that run, with the process of each."""
    found = {}
    for state in (home / "engine").glob("*.container"):
        found[state.stem] = json.loads(state.read_text())["pid"]
    return found
