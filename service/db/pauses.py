"""Pauses: what somebody has paused, as every process knows it, and how it is paused and unpaused.

A flush reads with its lease how often pauses have changed, and reads them anew where that is more often than it knows.
So an event whose flush begins after a pause was committed is held back by it, in every process, without asking for each
event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from service.db.connect import sql

if TYPE_CHECKING:
    import asyncpg


@dataclass(frozen=True, slots=True)
class Pause:
    """Who paused a trigger of a pipeline (or, without a trigger, all of it), when and why."""

    id: int
    pipeline: str
    trigger: str
    reason: str
    by: str
    at: datetime

    def tells(self) -> str:
        """The reason of the fate of an event that it holds back."""
        what = "this trigger" if self.trigger else "the pipeline"
        return f"{what} was paused by {self.by}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, slots=True)
class Pauses:
    """Those that stand, by pipeline and trigger. `version` counts the changes there have been."""

    version: int
    by_place: Mapping[tuple[str, str], Pause] = field(default_factory=dict)

    def holding(self, pipeline: str, trigger: str) -> Pause | None:
        """What holds back events of a trigger, or None."""
        return self.by_place.get((pipeline, "")) or self.by_place.get((pipeline, trigger))

    @classmethod
    async def standing(cls, connection: asyncpg.Connection) -> Pauses:
        """As the database has them now."""
        return cls.read(await connection.fetch(sql("standing_pauses")))

    @classmethod
    def read(cls, rows: Sequence[asyncpg.Record]) -> Pauses:
        """From the rows of `standing_pauses.sql`."""
        found = [
            Pause(row["id"], row["pipeline"], row["trigger"], row["reason"], row["paused_by"], row["paused_at"])
            for row in rows
            if row["pipeline"] is not None
        ]
        return cls(rows[0]["version"], {(one.pipeline, one.trigger): one for one in found})


NONE_KNOWN = Pauses(-1)
