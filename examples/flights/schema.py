"""What a row of the flights data must look like before anything is made of it."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field


class FlightSchema(BaseModel):
    """One flight. Clock times are HHMM on local clocks, delays and air time minutes, the distance miles.

    A flight that never left has no departure; one that was cancelled, diverted or is still in the air has no arrival.
    """

    time_hour: datetime
    year: int
    month: int = Field(ge=1, le=12)
    day: int = Field(ge=1, le=31)
    hour: int = Field(ge=0, le=23)
    minute: int = Field(ge=0, le=59)
    carrier: str = Field(min_length=2, max_length=2)
    flight: int = Field(gt=0)
    tailnum: str | None
    origin: str = Field(min_length=3, max_length=3)
    dest: str = Field(min_length=3, max_length=3)
    distance: int = Field(gt=0)
    sched_dep_time: int = Field(ge=0, le=2359)
    sched_arr_time: int = Field(ge=0, le=2359)
    dep_time: int | None = Field(ge=1, le=2400)
    dep_delay: int | None = Field(gt=-120, lt=2880)
    arr_time: int | None = Field(ge=1, le=2400)
    arr_delay: int | None = Field(gt=-240, lt=2880)
    air_time: int | None = Field(gt=0)
