"""`python -m benchmarks NAME`: measure, print tables, write JSON. `table FOLDER` renders such JSON as Markdown."""

from __future__ import annotations

import argparse
import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.benchmark import Benchmark, found
from benchmarks.results import read_results, render, write_result
from benchmarks.tables import show

FOLDER = Path(".venv/bench")


def main() -> None:
    """Read the arguments and measure."""
    logging.basicConfig(level=logging.WARNING)
    known = found()
    given = _parser(known).parse_args()
    if given.command == "table":
        print(render(read_results(given.folder), known))
        return
    for name in known if given.command == "all" else [given.command]:
        _measure(name, known[name], given)


def _measure(name: str, benchmark: Benchmark[Any], given: argparse.Namespace) -> None:
    size = benchmark.quick if given.quick else benchmark.full
    asked = {field.name: getattr(given, field.name, None) for field in dataclasses.fields(size)}
    size = dataclasses.replace(size, **{key: value for key, value in asked.items() if value is not None})
    tables = uvloop.run(benchmark.measure(size))
    for table in tables:
        show(table)
    write_result(given.json, name, benchmark, size, tables, quick=given.quick)


def _parser(known: Mapping[str, Benchmark[Any]]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    table = commands.add_parser("table", help="render the JSON in a folder as Markdown")
    table.add_argument("folder", type=Path)
    _add(commands, "all", "all of them, one after the other")
    for name, benchmark in known.items():
        options = _add(commands, name, benchmark.says)
        for field in dataclasses.fields(benchmark.full):
            default = getattr(benchmark.full, field.name)
            options.add_argument(f"--{field.name.replace('_', '-')}", type=type(default), help=f"{default}")
    return parser


def _add(commands: Any, name: str, says: str) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(name, help=says, description=says)
    added.add_argument("--quick", action="store_true", help="so small that the figures mean nothing: does it work?")
    added.add_argument("--json", type=Path, default=FOLDER, help=f"folder for NAME.json ({FOLDER})")
    return added


if __name__ == "__main__":
    main()
