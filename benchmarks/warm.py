"""Stages that tell when they were called, so that what lies before that can be measured from another process."""

from __future__ import annotations

import time

import polars as pl

from stages import Event, Pipeline, stage

COLUMNS = 10


@stage(runner="process")
def look(event: Event) -> float:
    """The time of its first line, by the clock that all processes share."""
    return time.perf_counter()


@stage(runner="process")
def frame(event: Event) -> pl.DataFrame:
    """As many rows as the event says, of ten columns of random numbers."""
    at = pl.int_range(event.data["rows"], dtype=pl.UInt64, eager=True)
    numbers = (at.hash(event.data["seed"] * COLUMNS + column) / 2**64 for column in range(COLUMNS))
    return pl.DataFrame([one.alias(str(column)) for column, one in enumerate(numbers)])


@stage(runner="process")
def take(frame: pl.DataFrame) -> float:
    """The time of its first line."""
    return time.perf_counter()


warm = Pipeline("warm", stages=[look, frame, take])
