"""From an event to flights: the month file it names, the newest that have landed, or the records of a micro-batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from examples.flights.data import FLIGHTS
from stages import Event
from stages.canonical.ingest import landed_file, newest_files, read_parquet, require_rows, typed

ORDER = ("time_hour", "origin", "carrier", "flight", "sched_dep_time", "dest", "tailnum")
MIN_MONTH_ROWS = 10_000


def month_files(event: Event, landing: Path, months: int) -> list[Path]:
    """The file in the event's `data.path`, else the newest `months` files: a clock, a commit and a person name none."""
    path = event.data.get("path") if isinstance(event.data, dict) else None
    return [landed_file(path, landing)] if isinstance(path, str) else newest_files(landing, "**/*.parquet", months)


def read_months(files: Sequence[Path]) -> pl.DataFrame:
    """The flights of these files, in one order whatever order they came in. Raises `Permanent` for a broken file."""
    frames = []
    for file in files:
        frame = read_parquet(file, FLIGHTS)
        require_rows(frame, MIN_MONTH_ROWS, str(file))
        frames.append(frame)
    return pl.concat(frames).sort(ORDER, nulls_last=True, maintain_order=True)


def live_flights(records: pl.DataFrame) -> pl.DataFrame:
    """The flights in a batch of live records, in the order they came. Raises `Permanent` for a wrong column."""
    return typed(records, FLIGHTS)
