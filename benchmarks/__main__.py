"""`python -m benchmarks NAME`: measure, print tables, write JSON. `table FOLDER` renders such JSON as Markdown."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import subprocess
import sys
from pathlib import Path

import uvloop

from benchmarks.benchmark import in_order, load, names
from benchmarks.results import read_results, render, write_result
from benchmarks.tables import show

FOLDER = Path(".venv/bench")


def main(arguments: list[str]) -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=[*names(), "all", "table"], help="what to measure, or table")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="NAME --help tells them")
    given = parser.parse_args(arguments)
    if given.name == "table":
        _table(given.options)
    elif given.name == "all":
        _all(given.options)
    else:
        _measure(given.name, given.options)


def _table(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks table", description="JSON of a folder, as Markdown.")
    parser.add_argument("folder", type=Path)
    print(render(read_results(parser.parse_args(arguments).folder), in_order()))


def _all(arguments: list[str]) -> None:
    """Each in a process of its own, so that none inherits another's garbage. One that fails does not stop the rest."""
    commands = [[sys.executable, "-m", "benchmarks", name, *arguments] for name in in_order()]
    failed = [command[3] for command in commands if subprocess.run(command, check=False).returncode]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _measure(name: str, arguments: list[str]) -> None:
    logging.basicConfig(level=logging.WARNING)
    benchmark = load(name)
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=benchmark.says)
    parser.add_argument("--quick", action="store_true", help="so small that the figures mean nothing: does it work?")
    parser.add_argument("--json", type=Path, default=FOLDER, help=f"folder for {name}.json ({FOLDER})")
    for field in dataclasses.fields(benchmark.full):
        default = getattr(benchmark.full, field.name)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(default), help=f"({default})")
    given = parser.parse_args(arguments)
    size = benchmark.quick if given.quick else benchmark.full
    asked = {field.name: getattr(given, field.name) for field in dataclasses.fields(size)}
    size = dataclasses.replace(size, **{key: value for key, value in asked.items() if value is not None})
    tables = uvloop.run(benchmark.measure(size))
    for table in tables:
        show(table)
    write_result(given.json, name, benchmark, size, tables, quick=given.quick)


if __name__ == "__main__":
    main(sys.argv[1:])
