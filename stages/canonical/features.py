"""Features: what the columns looked like when a model was trained, and how far later ones have moved from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MEAN, SPREAD = ".mean", ".std"


def profile(frame: pl.DataFrame, columns: Sequence[str]) -> dict[str, float]:
    """`COLUMN.mean` and `COLUMN.std` of each numeric column, nulls left out; a column that does not vary is absent.

    Flat numbers, so that they fit among the metrics of a registered version.
    """
    found: dict[str, float] = {}
    for column in columns:
        values = frame[column].drop_nulls().cast(float)
        mean, spread = values.mean(), values.std()
        if isinstance(mean, float) and isinstance(spread, float) and spread > 0:
            found |= {column + MEAN: mean, column + SPREAD: spread}
    return found


def drift(frame: pl.DataFrame, trained_on: Mapping[str, float]) -> dict[str, float]:
    """For each column profiled in `trained_on`: by how many of its standard deviations its mean has moved.

    A column that is all null here says nothing and is absent.
    """
    columns = [name.removesuffix(SPREAD) for name in trained_on if name.endswith(SPREAD)]
    means = {column: frame[column].cast(float).mean() for column in columns if column in frame.columns}
    return {
        column: (mean - trained_on[column + MEAN]) / trained_on[column + SPREAD]
        for column, mean in means.items()
        if isinstance(mean, float)
    }
