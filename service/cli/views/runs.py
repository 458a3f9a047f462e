"""The list of runs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.cli.output import Column, coloured, print_table
from service.words.endings import failed_why
from service.words.events import event_name
from service.words.parts import moment, took

COLUMNS = (
    Column("RUN", right=True),
    Column("PIPELINE"),
    Column("STATE"),
    Column("QUEUED", from_width=60),
    Column("TOOK", from_width=50, right=True),
    Column("EVENT", from_width=120, wrap=True),
    Column("WHY", from_width=90, wrap=True),
    Column("TAGS", from_width=140),
)


def print_runs(page: Mapping[str, Any], now: datetime) -> None:
    """One line a run, newest first."""
    rows = [
        (
            run["id"],
            run["pipeline"],
            coloured(run["state"]),
            moment(run["queued_at"], now),
            took_so_far(run),
            event_name(run["event"], run["pipeline"]),
            why(run),
            ", ".join(run["tags"]),
        )
        for run in page["runs"]
    ]
    print_table(COLUMNS, rows, nothing="no runs: start one with `tidemill run PIPELINE`")


def took_so_far(run: Mapping[str, Any]) -> str:
    """How long it took, or has taken by now."""
    told = took(run["duration_s"])
    return f"{told} so far" if told and run["finished_at"] is None else told


def why(run: Mapping[str, Any]) -> str:
    """What made it fail, or whom it waits for."""
    if run["failure"]:
        return failed_why(run["failure"], run.get("error"))
    gates = run["waiting_gates"]
    if gates and run["state"] == "waiting":
        return f"waits for {', '.join(gates)}"
    return f"waits for {run['waits_for']}" if run.get("waits_for") else ""
