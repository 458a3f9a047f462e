"""Stages that hand frames on, and tell which process they run in."""

from __future__ import annotations

import os

import numpy as np
import polars as pl
import pyarrow as pa

from stages import Event, Pipeline, stage

ROWS = 5_000
numbers = np.zeros(ROWS)


@stage
def made(event: Event) -> pl.DataFrame:
    return (
        pl.DataFrame({"process": [os.getpid()] * ROWS, "n": range(ROWS)})
        .hash_rows(1)
        .to_frame("n")
        .hstack([pl.Series("process", [os.getpid()] * ROWS)])
    )


@stage
def reused(event: Event) -> pa.Table:
    """A table over an array that the module goes on using."""
    numbers[:] = np.random.default_rng(event.data["seed"]).random(ROWS)
    return pa.table({"n": pa.array(numbers)})


@stage
def told(made: pl.DataFrame) -> list[int]:
    """This process, the one that made the frame, and the sum of its first ten rows."""
    return [os.getpid(), made[0, "process"], made["n"].head(10).hash(1).sum() % 1_000_007]


@stage
def spoils(made: pl.DataFrame) -> int:
    made[0, "n"] = 0
    made.insert_column(0, pl.Series("more", range(ROWS)))
    made.drop_in_place("process")
    return os.getpid()


@stage
def summed(reused: pa.Table) -> float:
    return float(reused["n"].to_numpy().sum())


@stage
def process_id() -> int:
    return os.getpid()


pipeline = Pipeline("kept", stages=[made, reused, told, spoils, summed, process_id])
