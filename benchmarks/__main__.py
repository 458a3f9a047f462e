"""`python -m benchmarks NAME`: measure, print a table, write JSON."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import orjson
import typer
import uvloop

from benchmarks import history as history_
from benchmarks import refusals as refusals_
from benchmarks import runs as runs_
from benchmarks.measuring import show

app = typer.Typer(add_completion=False, help="Measure Tidemill beside a limit, in alternating rounds.")

Out = Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")]


@app.callback()
def main() -> None:
    """Choose one."""
    logging.basicConfig(level=logging.WARNING)


@app.command()
def runs(runs: int = 20_000, rounds: int = 3, in_flight: int = 500, json: Out = None) -> None:
    """Six no-op stages a run, against a bare group-commit loop."""
    rows = uvloop.run(runs_.run(runs, rounds, in_flight))
    show(f"{runs:,} runs of six no-op stages, {in_flight} in flight", "run", rows)
    if json is not None:
        json.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))


@app.command()
def history(
    level: Annotated[list[int] | None, typer.Option(help="Finished runs; may be repeated.")] = None,
    runs: int = 20_000,
    rounds: int = 3,
    in_flight: int = 500,
    keep: Annotated[Path | None, typer.Option(help="Keep the databases here, and use those that are.")] = None,
    json: Out = None,
) -> None:
    """Six no-op stages a run, with none, one million and ten million finished runs behind them (25 GB of disk)."""
    rows = uvloop.run(history_.run(level or history_.LEVELS, runs, rounds, in_flight, keep))
    show(f"{runs:,} runs of six no-op stages, {in_flight} in flight", "run", rows)
    if json is not None:
        json.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))


@app.command()
def refusals(requests: int = 2_000, json: Out = None) -> None:
    """What nobody may send, turned away: from the first byte sent to the answer, on one connection."""
    rows = uvloop.run(refusals_.run(requests))
    for row in rows:
        figures = (
            f"{name} {row[key]:6.0f} us" for name, key in (("p50", "p50_us"), ("p99", "p99_us"), ("CPU", "cpu_us"))
        )
        print(f"{row['garbage']:28} {row['status']}  {'  '.join(figures)}")
    if json is not None:
        json.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    app()
