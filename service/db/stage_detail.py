"""The stages of a run as people see them: their attempts, and how far the items of mapped ones are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from service.db.results import metrics_of
from service.db.rows import Row
from service.model import AttemptState
from service.shapes.answers import ArtifactShape, AttemptShape, CostShape, ErrorShape, ProgressShape, StageShape
from stages.call import WHOLE

PENDING = "pending"


def stage_shapes(
    definition: Mapping[str, Any], attempts: Sequence[Row], items: Sequence[Row], costs: Sequence[Row], *, over: bool
) -> list[StageShape]:
    """Every stage in the order of the graph, also those not reached yet; clean-ups once they have been tried.

    `over`: its run has ended, and nothing goes on.
    """
    by_stage: dict[str, list[Row]] = {stage["name"]: [] for stage in definition.get("stages", ())}
    counts: dict[str, dict[str, int]] = {}
    for row in attempts:
        by_stage.setdefault(row["stage"], []).append(row)
    for row in items:
        counts.setdefault(row["stage"], {})[row["state"]] = row["items"]
    spent = {row["stage"]: _cost(row) for row in costs}
    return [
        {**_stage(name, sorted(rows, key=_place), counts.get(name, {}), over), "cost": spent.get(name)}
        for name, rows in by_stage.items()
    ]


def _place(row: Row) -> tuple[bool, int, int]:
    """Items first: the stage as a whole has its result after them."""
    return row["item"] == WHOLE, row["item"], row["attempt"]


def _stage(name: str, rows: Sequence[Row], items: Mapping[str, int], over: bool) -> StageShape:
    whole = [row for row in rows if row["item"] == WHOLE and row["void"] is None]
    last = _attempt(whole[-1]) if whole else None
    return {
        "name": name,
        "state": last["state"] if last else _state_of_items(items, over),
        "items": dict(items),
        "attempts": [_attempt(row) for row in rows],
        "output": last["output"] if last else None,
        "metrics": last["metrics"] if last else {},
        "cost": None,
    }


def _state_of_items(items: Mapping[str, int], over: bool) -> str:
    """Of a mapped stage that has no result yet: what goes on among its items, or else what went wrong.

    Where nothing went wrong, and nothing goes on, it was cut short.
    """
    busy_first = (AttemptState.RUNNING, AttemptState.WAITING, AttemptState.FAILED, AttemptState.LOST)
    return next(
        (state.value for state in busy_first if items.get(state)),
        PENDING if not items else "cancelled" if over else "running",
    )


def _attempt(row: Row) -> AttemptShape:
    return {
        "attempt": row["attempt"],
        "item": None if row["item"] == WHOLE else row["item"],
        "epoch": row["epoch"],
        "version": row["version"],
        "state": row["state"],
        "reason": row["reason"] if row["state"] in ("skipped", "cancelled") else None,
        "void": row["void"],
        "child_run": row["child_run"],
        "started_at": row["started_at"],
        "finished_at": row["finished_at"],
        "duration_s": seconds(row["started_at"], row["finished_at"]),
        "transient": row["transient"],
        "retry_at": row["retry_at"],
        "error": _error(row["failure"]),
        "output": _artifact(row),
        "metrics": metrics_of(row),
        "reused_run": row["reused_run"],
        "progress": _progress(row),
        "cost": _cost(row),
    }


def _cost(row: Row) -> CostShape | None:
    return None if row["cpu_s"] is None else {"cpu_s": row["cpu_s"], "memory_bytes": row["memory_bytes"]}


def _progress(row: Row) -> ProgressShape | None:
    if row["progress_at"] is None:
        return None
    return {"fraction": round(row["progress"], 4), "note": row["note"], "at": row["progress_at"]}


def _error(stored: bytes | None) -> ErrorShape | None:
    if not stored:
        return None
    told = orjson.loads(stored)
    return {"type": told["type"], "message": told["message"], "traceback": told["traceback"]}


def _artifact(row: Row) -> ArtifactShape | None:
    if row["output_digest"] is None:
        return None
    return {"digest": row["output_digest"], "codec": row["output_codec"], "size_bytes": row["output_size"]}


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    """How long it lasted, None where it has not ended."""
    if start is None or end is None:
        return None
    return round(max((end - start).total_seconds(), 0.0), 6)
