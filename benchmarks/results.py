"""What was measured, on disk: one JSON file a benchmark, with the machine, the commit and the size."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from benchmarks.benchmark import Benchmark
from benchmarks.tables import Column, Table, grid, markdown

ROOT = Path(__file__).parents[1]


def write_result(
    folder: Path, name: str, benchmark: Benchmark[Any], size: Any, tables: Sequence[Table], *, quick: bool
) -> None:
    """Write `folder`/`name`.json."""
    result = {
        "benchmark": name,
        "says": benchmark.says,
        "quick": quick,
        "measured_at": datetime.now(UTC),
        "commit": _commit(),
        "machine": machine(),
        "settings": dataclasses.asdict(size),
        "tables": tables,
        "goals": [goal.reached(tables) for goal in benchmark.goals],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))


def read_results(folder: Path) -> list[dict[str, Any]]:
    """All that `write_result` left in a folder."""
    return [orjson.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]


def render(results: Sequence[Mapping[str, Any]], order: Sequence[str]) -> str:
    """The tables of docs/performance.md: first what must be reached, then each benchmark."""
    known = sorted((one for one in results if one["benchmark"] in order), key=lambda one: order.index(one["benchmark"]))
    parts = ["\n".join(_goals(known))]
    for result in known:
        size = ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in _numbers(result))
        parts.append(f"### `{result['benchmark']}`\n\n{result['says']} ({size}.)")
        parts += [markdown(_table(one)) for one in result["tables"]]
    parts.append("\n".join(sorted({_origin(one) for one in known})))
    return "\n\n".join(parts)


def _numbers(result: Mapping[str, Any]) -> list[tuple[str, float]]:
    return [(key, value) for key, value in result["settings"].items() if isinstance(value, int | float)]


def machine() -> dict[str, Any]:
    """What this was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "system": platform.system(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "processor": _processor(),
        "python": platform.python_version(),
    }


def _goals(results: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = [Column("reached", "reached", ",.3g"), Column("must", "must reach"), Column("aim", "aim")]
    rows = [
        goal | {"name": f"`{one['benchmark']}`: {goal['says']}", "reached": _reached(goal)}
        for one in results
        for goal in one["goals"]
    ]
    return grid(["", *(column.label for column in columns)], Table("", columns, rows))


def _reached(goal: Mapping[str, Any]) -> str:
    if goal["reached"] is None:
        return "not measured"
    told = f"{goal['reached']:,.3g}{goal['unit']}"
    return told if goal["holds"] else f"**{told}**"


def _table(given: Mapping[str, Any]) -> Table:
    return Table(given["title"], [Column(**one) for one in given["columns"]], given["rows"], given["notes"])


def _origin(result: Mapping[str, Any]) -> str:
    one = result["machine"]
    told = f"{one['cores']} cores ({one['processor']}), {one['memory_gb']} GB, {one['system']}, Python {one['python']}"
    quick = "; quick: no figure means anything" if result["quick"] else ""
    return f"Measured on {result['measured_at'][:10]} at commit {result['commit']}: {told}{quick}."


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    asked = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"
