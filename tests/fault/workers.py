"""A pipeline whose stage holds its worker and a program of its own, and tells both."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from stages import Event, Pipeline, stage


@stage(runner="process")
def holds(event: Event) -> None:
    """Never lets go of Python's lock, so that no thread of this process can do anything."""
    with subprocess.Popen(["sleep", "600"]) as program:
        file = Path(event.data["folder"]) / "started"
        file.with_suffix(".part").write_text(f"{os.getpid()} {program.pid}")
        file.with_suffix(".part").rename(file)
        if event.data["busy"]:
            print(pow(7, 3**18) & 1)


workers = Pipeline("workers", [holds])
packaged = Pipeline("packaged", [replace(holds, runner="environment", environment="../contract/requirements-six.lock")])
