"""Counts, from the run log alone, how many runs were under way at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from service.model import RunState
from tests.db.writing import rows

Entry = Mapping[str, Any]


async def run_moves(dsn: str) -> list[Entry]:
    """Every move of a run, in the order of the commits: who saw another's commit has the higher place."""
    found = await rows(dsn, "select entries from run_log order by seq")
    entries = [entry for row in found for entry in orjson.loads(row["entries"])]
    return [
        entry for entry in entries if "stage" not in entry and "gate" not in entry and entry["move"] in set(RunState)
    ]


def most_at_once(moves: list[Entry], group: Callable[[Entry], Any]) -> Mapping[Any, int]:
    """The most runs that were `running` at one time, for each group that `group` names (None: not counted)."""
    running: dict[int, Any] = {}
    most: Counter[Any] = Counter()
    for entry in moves:
        if entry["move"] == "running":
            running[entry["run"]] = group(entry)
        else:
            running.pop(entry["run"], None)
        for name, count in Counter(running.values()).items():
            if name is not None:
                most[name] = max(most[name], count)
    return most
