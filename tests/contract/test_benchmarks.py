"""Every benchmark, as small as it gets: that it still works and tells all it should. Nothing is timed here."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.__main__ import main
from benchmarks.benchmark import in_order, load, names
from benchmarks.results import read_results, render, write_result
from benchmarks.tables import Column, Goal, Table

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", names())
async def test_a_benchmark_measures_what_it_says(name: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks", name, "--quick", "--json", str(tmp_path)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    result = orjson.loads((tmp_path / f"{name}.json").read_bytes())
    assert result["tables"]
    assert "…" not in told.decode()
    for table in result["tables"]:
        assert table["title"] in " ".join(told.decode().split()), told.decode()
        assert all(figures_of(row) for row in table["rows"]), table
    assert [goal for goal in result["goals"] if goal["reached"] is None] == []
    assert result["says"] in render(read_results(tmp_path), names())


def test_the_document_names_benchmarks_that_there_are() -> None:
    document = (ROOT / "docs/performance.md").read_text()
    described = re.findall(r"^\| `(\w+)` \|", document, re.MULTILINE)
    assert described == [name for name in in_order() if name in described]
    commands = re.findall(r"(?:python -m benchmarks |make bench ARGS=)(\w+)", document)
    assert commands
    assert set(commands) <= {*names(), "table"}


def test_options_in_the_document_are_options_of_their_benchmarks() -> None:
    document = (ROOT / "docs/performance.md").read_text()
    found = re.findall(r"python -m benchmarks (\w+)((?: --[\w-]+ \w+)+)", document)
    assert found
    for name, options in found:
        sizes = {one.name.replace("_", "-") for one in dataclasses.fields(load(name).full)}
        assert set(re.findall(r"--([\w-]+)", options)) <= sizes


def test_what_was_measured_is_printed_as_the_tables_of_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table("Runs", [Column("per_s", "runs/s")], [{"name": "tidemill", "per_s": 1234.0, "ratio": 0.3}])
    write_result(tmp_path, "runs", load("runs"), load("runs").full, [table], quick=False)
    main(["table", str(tmp_path)])
    told = capsys.readouterr().out
    assert "| tidemill | 1,234 |" in told
    assert "| `runs`: runs/s against the bare loop | 0.3 | 0.25 | 0.5 |" in told


def figures_of(row: dict[str, Any]) -> list[float]:
    return [figure for figure in row.values() if isinstance(figure, int | float)]


def test_a_goal_says_what_was_reached() -> None:
    tables = [Table("t", [Column("s", "s")], [{"name": "bare", "s": 9.0}, {"name": "ours", "s": 3.0}])]
    missed = Goal("g", "ours", "s", aim=6, least=4).reached(tables)
    assert (missed["holds"], missed["must"], missed["reached"]) == (False, "4", 3.0)
    met = Goal("g", "ours", "s", aim=1, most=4, unit=" s").reached(tables)
    assert (met["holds"], met["must"], met["aim"]) == (True, "at most 4 s", "1 s")
    assert Goal("g", "nobody", "s", aim=1, least=0).reached(tables)["holds"] is False
