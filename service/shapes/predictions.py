"""What the API answers of what models have answered."""

from __future__ import annotations

from datetime import date, datetime

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict

from service.shapes.models import VersionShape


class PredictionsShape(TypedDict):
    """How many predictions a version has answered, and from when to when, as far as is kept."""

    answered: int
    first_at: datetime | None
    last_at: datetime | None


class VersionUse(VersionShape):
    """A version, and how much it was asked."""

    predictions: PredictionsShape


class DayShape(TypedDict):
    """What a version answered on one day, in UTC."""

    day: date
    answered: int
    first_at: datetime
    last_at: datetime


class LatestShape(TypedDict):
    """One prediction. `caller` is a name, or where there is none how they were known: `local`, `api_token`."""

    at: datetime
    caller: str


class VersionDetail(VersionUse):
    """A version and what came of it: the days on which it answered, newest first (`next` goes into `before` for
    earlier ones), and the latest predictions.
    """

    days: list[DayShape]
    latest: list[LatestShape]
    next: date | None
