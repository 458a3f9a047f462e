"""What the model may know of a flight at the moment it leaves the gate. Training and prediction both call this."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from examples.flights.data import NEW_YORK, WEATHER

if TYPE_CHECKING:
    import numpy as np

CARRIERS = ("9E", "AA", "AS", "B6", "DL", "EV", "F9", "FL", "HA", "MQ", "OO", "UA", "US", "VX", "WN", "YV")
ORIGINS = ("EWR", "JFK", "LGA")
NUMBERS = ("minute_of_day", "weekday", "distance", "dep_delay", *WEATHER)
LABEL = "arr_delay"
PROFILED = ("dep_delay", "temp", "wind_speed", LABEL)
CATEGORIES = 2


def flight_features(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """One row for each flight, in the same order. The label is null where it is not known, or not known yet.

    Times of day are New York's; an hour without an observation has null weather.
    """
    local = pl.col("time_hour").dt.convert_time_zone(NEW_YORK)
    joined = flights.join(weather, on=["origin", "time_hour"], how="left", maintain_order="left")
    return joined.select(
        "time_hour",
        "carrier",
        "origin",
        (local.dt.hour().cast(pl.Int32) * 60 + pl.col("minute")).alias("minute_of_day"),
        local.dt.weekday().alias("weekday"),
        "distance",
        "dep_delay",
        *WEATHER,
        LABEL,
    )


def flown(features: pl.DataFrame) -> pl.DataFrame:
    """The flights that left and arrived: only they can teach, or be scored.

    The others were cancelled or diverted, or are late labels. A missing delay is never filled in.
    """
    return features.drop_nulls(["dep_delay", LABEL])


def matrix(features: pl.DataFrame) -> np.ndarray:
    """The features as numbers, carrier and origin first; what is missing or was never heard of is nan."""
    return features.select(
        _code("carrier", CARRIERS), _code("origin", ORIGINS), *(pl.col(name).cast(pl.Float64) for name in NUMBERS)
    ).to_numpy()


def _code(column: str, known: tuple[str, ...]) -> pl.Expr:
    return pl.col(column).cast(pl.Enum(known), strict=False).to_physical().cast(pl.Float64)
