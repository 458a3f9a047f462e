"""What failed runs failed of, for a whole list of them: one row of one index for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import orjson

from service.db.connect import columns
from service.db.reads import Reads
from service.db.rows import Row

MOST_TEXT = 200
# How `service.machine` tells of a stage that failed with one of its items.
_ITEM = re.compile(r"item (\d{1,9}): ")


async def errors_of(reads: Reads, rows: Sequence[Row]) -> dict[int, str]:
    """What was raised where each run of a list ended that failed in a stage: kind and first line, cut."""
    failed = [(row["id"], orjson.loads(row["failure"])) for row in rows if row["failure"] and row["state"] == "failed"]
    asked = [(run, failure["stage"], _item(failure)) for run, failure in failed if failure["stage"]]
    if not asked:
        return {}
    return {row["run_id"]: _told(row) for row in await reads.fetch("errors_of", *columns(asked, 3))}


def _item(failure: dict[str, Any]) -> int:
    found = _ITEM.match(failure["reason"])
    return int(found[1]) if found else -1


def _told(row: Row) -> str:
    kind, lines = row["type"].rpartition(".")[2], (row["message"] or "").strip().splitlines()
    told = f"{kind}: {lines[0]}" if lines else kind
    return told if len(told) <= MOST_TEXT else f"{told[: MOST_TEXT - 1]}…"
