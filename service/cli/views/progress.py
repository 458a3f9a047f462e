"""What happens in a run, as it happens: a line on stderr for each attempt that ended, and what is at work now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

from rich.text import Text

from service.cli.follow import SETTLED_STAGES, running, tries
from service.cli.output import console, plain
from service.cli.views.run import attempt_state
from service.words.parts import metrics, took

Run = Mapping[str, Any]


def show_progress(steps: Iterator[Run]) -> Run:
    """Tell each step and return the last one. On a terminal a spinner says what is at work."""
    out = console(stderr=True)
    told: set[tuple[str, int]] = set()
    spinner = out.status("") if out.is_terminal else nullcontext()
    with spinner as status:
        for run in steps:
            for key, tried in tries(run).items():
                if tried["state"] in SETTLED_STAGES and key not in told:
                    told.add(key)
                    out.print(_line(*key, tried))
            if status is not None:
                status.update(Text(f"run {run['id']}: {plain(running(run))}"))
    return run


def _line(stage: str, attempt: int, tried: Mapping[str, Any]) -> Text:
    again = f" (try {attempt})" if attempt > 1 else ""
    error = tried["error"]
    said = f"{error['type'].rpartition('.')[2]}: {error['message']}" if error else metrics(tried["metrics"])
    line = Text.assemble(f"{stage}{again} ", attempt_state(tried), f" {took(tried['duration_s'])}")
    return line.append(f"  {plain(said)}") if said else line
