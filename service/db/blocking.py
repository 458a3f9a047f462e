"""Which limit, or which run before it, a run that is ready waits for, in words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from service.db.rows import Row

SHOWN_RUNS = 3


def told_by(limits: Mapping[str, Any], row: Row, at: datetime) -> str | None:
    """What holds a run up, going by its pipeline's limits and what is taken; None: no limit does."""
    if row["behind"] is not None:
        return _behind(*row["behind"])
    concurrency, most = limits.get("concurrency"), limits.get("max_running")
    if concurrency and len(row["of_key"] or ()) >= concurrency["at_most"]:
        return f"{_runs(row['of_key'])} of the same key"
    if most and row["running"] >= most:
        runs, are = ("run", "is") if row["running"] == 1 else ("runs", "are")
        return f"a free place: {row['running']} of {most} {runs} of {limits['pipeline']} {are} running"
    if row["capacity"] is not None and row["taken"] >= row["capacity"]:
        return f"pool {row['pool']}: {row['taken']} of {row['capacity']} taken"
    if row["not_before"] is not None and row["not_before"] > at:
        return f"its rate: not before {row['not_before']:%H:%M:%S} UTC"
    return None


def _behind(run: str, state: str) -> str:
    if state not in ("failed", "cancelled"):
        return f"run {run}, which comes before it in its sequence, to succeed"
    became = "has failed" if state == "failed" else "was cancelled"
    return f"run {run}, which comes before it in its sequence and {became}: resume or abandon that one"


def _runs(ids: list[int]) -> str:
    shown = [str(one) for one in ids[:SHOWN_RUNS]] + (["others"] if len(ids) > SHOWN_RUNS else [])
    return f"run {shown[0]}" if len(ids) == 1 else f"runs {', '.join(shown[:-1])} and {shown[-1]}"
