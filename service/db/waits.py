"""What runs wait for, in words: for a whole list of them, as far as a list should ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from service.db.blocking import told_by
from service.db.connect import columns
from service.db.reads import Reads
from service.db.rows import Row

# One less than a list of runs looks for.
MOST_SUB_RUNS = 5


def is_ready(row: Row) -> bool:
    """Whether the run could start at once, if there were a place for it."""
    return row["state"] in ("queued", "waiting") and row["ready_at"] is not None and bool(row["ready_at"] <= row["at"])


def place(limits: Mapping[str, Any], row: Row, blocking: Row | None) -> str:
    """What a run that is ready waits for, going by the limits of its pipeline."""
    told = None if blocking is None else told_by({**limits, "pipeline": row["pipeline"]}, blocking, row["at"])
    return told or "a free place in a daemon that has this pipeline loaded"


def sub_runs(runs: Sequence[int]) -> str:
    """What a run waits for whose stages started these, as many of them as one reads."""
    return f"sub-run {' and '.join(map(str, runs[:MOST_SUB_RUNS]))}{' and others' if len(runs) > MOST_SUB_RUNS else ''}"


def told_at_once(row: Row, gates: Sequence[str]) -> str | None:
    """What its own row and its gates tell; None: nothing, or not what."""
    state = row["state"]
    if state == "running" and row["cancel_requested_at"] is not None:
        return "its running stage to stop, since it was asked to cancel"
    if state == "queued" and row["gathering"] is not None:
        return f"more events to share it: it has {row['gathered']}, and starts when it is full, or else in its time"
    if state in ("running", "waiting") and gates:
        return f"somebody to decide gate {' and gate '.join(gates)}"
    return None


def limits_in(row: Row) -> Mapping[str, Any]:
    """The limits that a row's definition tells of."""
    limits: Mapping[str, Any] = orjson.loads(row["definition"]).get("limits", {}) if row["definition"] else {}
    return limits


async def blocking_of(reads: Reads, ready: Sequence[tuple[Row, Mapping[str, Any]]]) -> dict[int, Row]:
    """What is taken of the limits that hold for runs that are ready, by run. Each comes with its pipeline's limits."""
    if not ready:
        return {}
    rates = [(row["id"], limits.get("rate") or {}) for row, limits in ready]
    asked = columns([(run, rate.get("runs"), rate.get("per_s")) for run, rate in rates], 3)
    return {row["id"]: row for row in await reads.fetch("blocking", *asked)}


async def waits_of(reads: Reads, rows: Sequence[Row]) -> dict[int, str]:
    """What each run of a list waits for, of those that wait."""
    ready = [row for row in rows if is_ready(row)]
    found = {row["id"]: told for row in rows if (told := told_at_once(row, row["waiting_gates"] or ()) or _later(row))}
    if not ready:
        return found
    versions = sorted({(row["pipeline"], row["version"]) for row in ready})
    definitions = await reads.fetch("review_definitions", *columns(versions, 2))
    limits = {(one["name"], one["version"]): limits_in(one) for one in definitions}
    with_limits = [(row, limits.get((row["pipeline"], row["version"]), {})) for row in ready]
    blocking = await blocking_of(reads, with_limits)
    return found | {row["id"]: place(of_it, row, blocking.get(row["id"])) for row, of_it in with_limits}


def _later(row: Row) -> str | None:
    """The sub-run, or the instant, that a waiting run waits for."""
    if row["state"] != "waiting":
        return None
    if row["children"]:
        return sub_runs(row["children"])
    return None if row["ready_at"] is None else f"its next try at {row['ready_at']:%H:%M:%S} UTC"
