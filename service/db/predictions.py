"""Predictions: how many each version of a model has answered, when, and for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar
from uuid import UUID

from service.db.connect import columns, sql
from service.db.reads import Reads
from service.db.writer import Flush, Operation
from service.shapes.models import VersionShape
from service.shapes.predictions import DayShape, LatestShape, PredictionsShape, VersionDetail, VersionUse

MOST_LATEST = 10
MOST_DAYS = 31


@dataclass(frozen=True, slots=True)
class Counted:
    """What a process has counted of one version on one day for one caller, with the `latest` times."""

    model: str
    version: int
    day: date
    caller: str
    teller: UUID
    answered: int
    first_at: datetime
    last_at: datetime
    latest: Sequence[datetime]


@dataclass(eq=False, slots=True)
class PutPredictions(Operation):
    """Write what was counted so far. Nobody waits for it; again is the same, and less than is there is nothing."""

    order: ClassVar[int] = 94

    counted: Sequence[Counted]

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutPredictions]) -> Sequence[None]:
        """Of what was counted twice in one flush the later counts."""
        last = {(c.model, c.version, c.day, c.caller, c.teller): c for op in operations for c in op.counted}
        rows = [_row(one) for _, one in sorted(last.items())]
        await flush.connection.execute(sql("put_predictions"), *columns(rows, 9))
        return [None] * len(operations)


def _row(one: Counted) -> tuple[object, ...]:
    latest = " ".join(at.isoformat() for at in one.latest)
    place = (one.model, one.version, one.day, one.caller, one.teller)
    return *place, one.answered, one.first_at, one.last_at, latest


async def counts_of(reads: Reads, versions: Sequence[VersionShape]) -> list[VersionUse]:
    """Each of these versions with how much it has answered."""
    if not versions:
        return []
    named = [one["model"] for one in versions], [one["version"] for one in versions]
    found = {(row["model"], row["version"]): row for row in await reads.fetch("count_predictions", *named)}
    return [{**one, "predictions": _counts(found.get((one["model"], one["version"])))} for one in versions]


def _counts(row: Mapping[str, object] | None) -> PredictionsShape:
    if row is None:
        return {"answered": 0, "first_at": None, "last_at": None}
    return {"answered": row["answered"], "first_at": row["first_at"], "last_at": row["last_at"]}  # type: ignore[typeddict-item]


async def detail_of(reads: Reads, version: VersionShape, before: date | None = None) -> VersionDetail:
    """A version with what it has answered: the days before a day, and the latest."""
    name, number = version["model"], version["version"]
    [counted] = await counts_of(reads, [version])
    days: list[DayShape] = [
        {"day": row["day"], "answered": row["answered"], "first_at": row["first_at"], "last_at": row["last_at"]}
        for row in await reads.fetch("prediction_days", name, number, before, MOST_DAYS)
    ]
    latest: list[LatestShape] = [
        {"at": row["at"], "caller": row["caller"]}
        for row in await reads.fetch("latest_predictions", name, number, MOST_LATEST)
    ]
    following = days[-1]["day"] if len(days) == MOST_DAYS else None
    return {**counted, "days": days, "latest": latest, "next": following}
