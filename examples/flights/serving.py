"""`POST /models/flights/predict`: how late will this flight arrive, asked as it leaves the gate?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from examples.flights.data import FLIGHTS, NEW_YORK, WEATHER, Schema, hourly_weather, miles_between
from examples.flights.features import LABEL, flight_features
from examples.flights.model import Model, predicted_delay

_ASKED_OF: Schema = {name: FLIGHTS[name] for name in ("carrier", "origin", "distance")} | {
    "dep_delay": pl.Float64,
    "time_hour": FLIGHTS["time_hour"],
}


class Weather(BaseModel):
    """The weather at the origin in that hour, in the units of the data (F, mph, inches, millibars, miles)."""

    model_config = ConfigDict(extra="forbid")

    temp: float | None = None
    dewp: float | None = None
    humid: float | None = None
    wind_dir: float | None = None
    wind_speed: float | None = None
    wind_gust: float | None = None
    precip: float | None = None
    pressure: float | None = None
    visib: float | None = None


class Flight(BaseModel):
    """One flight. A row of the data is one; of its columns only these are read.

    The scheduled hour is `time_hour` (an instant), or year, month, day and hour on New York's clocks.
    """

    carrier: str
    origin: str
    dest: str | None = None
    distance: int | None = Field(None, gt=0, le=13_000, description="miles; left out, it follows from origin and dest")
    dep_delay: float = Field(ge=-120, le=2880, description="minutes it left late; negative: early")
    time_hour: AwareDatetime | None = None
    year: int = Field(2013, ge=1900, le=2200)
    month: int | None = Field(None, ge=1, le=12)
    day: int | None = Field(None, ge=1, le=31)
    hour: int | None = Field(None, ge=0, le=23)
    minute: int = Field(0, ge=0, le=59)
    weather: Weather | None = Field(None, description="instead of what was observed in 2013")

    @model_validator(mode="after")
    def _has_a_time(self) -> Flight:
        if self.time_hour is None and None in (self.month, self.day, self.hour):
            raise ValueError("say when it is to leave: time_hour, or month, day and hour (New York)")
        if self.time_hour is not None and not 1900 <= self.time_hour.year <= 2200:
            raise ValueError(f"time_hour is in the year {self.time_hour.year}: give one from 1900 to 2200")
        if self.miles() is None:
            raise ValueError(f"no distance is known from {self.origin} to {self.dest}: give `distance`, in miles")
        self.departure()  # Raises for a day that month does not have.
        return self

    def miles(self) -> int | None:
        """How far it flies."""
        return self.distance or (miles_between(self.origin, self.dest) if self.dest else None)

    def departure(self) -> datetime:
        """When it is to leave, in UTC."""
        if self.time_hour is not None:
            return self.time_hour.astimezone(UTC) + timedelta(minutes=self.minute)
        day = {"year": self.year, "month": self.month or 0, "day": self.day or 0}
        return datetime(**day, hour=self.hour or 0, minute=self.minute, tzinfo=ZoneInfo(NEW_YORK)).astimezone(UTC)


ASKED = TypeAdapter(list[Flight])


def predict(model: Model, payload: Any) -> dict[str, Any]:
    """Answer one flight or a list of them, in order. Raises pydantic's `ValidationError` for anything else."""
    asked = ASKED.validate_python(payload) if isinstance(payload, list) else [Flight.model_validate(payload)]
    minutes = predicted_delay(model, features_of(asked)).to_list() if asked else []
    return {"predictions": [{"arr_delay": round(value, 1)} for value in minutes]}


def features_of(asked: Sequence[Flight]) -> pl.DataFrame:
    """The features of these flights, made by the function that made them for training."""
    rows = [(one.carrier, one.origin, one.miles(), one.dep_delay, one.departure()) for one in asked]
    flights = pl.DataFrame(rows, schema=_ASKED_OF, orient="row").with_columns(
        pl.col("time_hour").dt.truncate("1h"),
        pl.col("time_hour").dt.minute().cast(pl.Int32).alias("minute"),
        pl.lit(None, dtype=FLIGHTS[LABEL]).alias(LABEL),
    )
    return _with_weather(flight_features(flights, hourly_weather()), asked)


def _with_weather(features: pl.DataFrame, asked: Sequence[Flight]) -> pl.DataFrame:
    """The features, with the weather a question brought instead of what was observed."""
    brought = pl.DataFrame(
        [one.weather.model_dump() if one.weather else {} for one in asked], schema=dict.fromkeys(WEATHER, pl.Float64)
    )
    told = pl.Series([one.weather is not None for one in asked])
    return features.with_columns(
        pl.when(told).then(brought[name]).otherwise(pl.col(name)).alias(name) for name in WEATHER
    )
