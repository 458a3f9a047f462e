"""What a plan reads from end to end."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import asyncpg

from service.db.connect import sql

# Indexes of what is under way, and of what waits for somebody: they hold no history.
LIVE = {
    "fates_removing",
    "gates_waiting",
    "runs_for_kept_code",
    "runs_to_review",
    "runs_limited",
    "runs_stopping",
    "runs_unfinished",
}


def steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of a plan."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from steps(below)


async def generic_plan(connection: asyncpg.Connection, name: str) -> list[dict[str, Any]]:
    """The nodes of the plan that is made once for all values of a statement."""
    text = sql(name)
    count = max((int(number) for number in re.findall(r"\$(\d+)", text)), default=0)
    await connection.execute("set plan_cache_mode = force_generic_plan")
    await connection.execute(f"prepare statement as {text}")
    nulls = f"({', '.join(['null'] * count)})" if count else ""
    [row] = await connection.fetch(f"explain (format json) execute statement{nulls}")
    await connection.execute("deallocate statement")
    [told] = json.loads(row[0])
    return list(steps(told["Plan"]))


def whole(node: dict[str, Any]) -> bool:
    """Whether a node reads all of a table, or of an index that may hold history."""
    if node["Node Type"] == "Seq Scan":
        return True
    if node["Node Type"] == "Bitmap Heap Scan":
        return all(whole_index(one) for one in steps(node) if one["Node Type"] == "Bitmap Index Scan")
    return node["Node Type"] in ("Index Scan", "Index Only Scan") and whole_index(node)


def whole_index(node: dict[str, Any]) -> bool:
    """Whether a node reads all of an index that may hold history."""
    return node["Index Name"] not in LIVE and not narrowed(node.get("Index Cond", ""))


def narrowed(condition: str) -> bool:
    """Whether an index is asked for more than that there is a value."""
    return bool(re.sub(r"\(?\w+(\.\w+)? IS NOT NULL\)?", "", condition).strip("() "))


async def read_whole(connection: asyncpg.Connection, name: str) -> set[str]:
    """The tables that a statement reads from end to end, save for the head of an index."""
    found: set[str] = set()
    for node in await generic_plan(connection, name):
        below = [one for one in node.get("Plans", ()) if node["Node Type"] == "Limit" and "Filter" not in one]
        for one in below:
            one["Head"] = one["Node Type"].startswith("Index")
        if whole(node) and not node.get("Head"):
            found.add(node["Relation Name"])
    return found
