"""The part of accepting that holds runs to the settings of their triggers: pauses, shared runs, limited rates.

The keys that runs share are locked until the flush has committed, always before those of `crowd`.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from service.db.connect import columns, sql
from service.db.offered import FateRow, Place, RunRow
from service.db.writer import Flush
from service.fates import STRENGTH
from triggers.admission import Admission, Terms
from triggers.base import Fate
from triggers.coalesce import Gathering

# A run by its id, or, before it is there, by the event that opens it.
Member = int | Place


@dataclass(frozen=True, slots=True)
class Join:
    """An event that joins a run, as the how-manyth of its events."""

    row: RunRow
    run: Member
    number: int


@dataclass(slots=True)
class Admittance:
    """What is left to start, the fates of what is not, the events that join runs, and what becomes of those runs.

    `newest` is the last event of each run that got more. `plain`: there was nothing to decide.
    """

    runs: dict[Place, RunRow] = field(default_factory=dict)
    plain: bool = False
    fates: list[FateRow] = field(default_factory=list)
    joins: list[Join] = field(default_factory=list)
    gathering: Mapping[Member, Gathering] = field(default_factory=dict)
    newest: dict[Member, RunRow] = field(default_factory=dict)


async def admit(flush: Flush, rows: dict[Place, RunRow]) -> Admittance:
    """Decide for each of `rows`, in their order. A repeat is left as it is: whatever was decided first stands."""
    if not flush.pauses.by_place and all(row.terms is None and row.otherwise is None for row in rows.values()):
        return Admittance(rows, plain=True)
    told = [one for row in rows.values() for one in row.alternatives() if isinstance(one, RunRow)]
    bounded = [one for one in told if one.terms is not None]
    desk = await _Desk.open(flush, bounded)
    found = Admittance()
    for place, row in rows.items():
        if place in desk.decided:
            found.runs[place] = row
        else:
            desk.decide(row, found)
    found.gathering = desk.admission.runs
    return found


@dataclass(slots=True)
class _Desk:
    """Decides, by what stood when the keys were locked."""

    flush: Flush
    decided: Collection[Place]
    admission: Admission[Member]
    now: datetime | None

    @classmethod
    async def open(cls, flush: Flush, bounded: Sequence[RunRow]) -> _Desk:
        if not bounded:
            return cls(flush, (), Admission(), None)
        locks = sorted({key for row in bounded for key in _lock_keys(row)})
        await flush.connection.execute(sql("lock_keys"), *columns(locks, 2))
        places = columns([row.place for row in bounded], 2)
        decided = {(row[0], row[1]) for row in await flush.connection.fetch(sql("decided_places"), *places)}
        fresh = [row for row in bounded if row.place not in decided]
        gathering, now = await _gathering(flush, fresh)
        began, at = await _began(flush, fresh)
        return cls(flush, decided, Admission(gathering, began), now or at)

    def decide(self, row: RunRow, found: Admittance) -> None:
        """Start it, or join it to another; else whatever another trigger makes of its event."""
        refused: list[FateRow] = []
        for one in row.alternatives():
            fate = one if isinstance(one, FateRow) else self._take(one, found)
            if fate is None:
                return
            refused.append(fate)
        found.fates.append(max(refused, key=lambda fate: STRENGTH[fate.fate]))

    def _take(self, row: RunRow, found: Admittance) -> FateRow | None:
        """Why it is not started; None where it is, or joins another."""
        pause = self.flush.pauses.holding(row.pipeline, row.trigger) if row.pausable else None
        if pause is not None:
            return replace(_fate(row, Fate.PAUSED, pause.tells()), pause=pause.id)
        if row.terms is None or self.now is None:
            found.runs[row.place] = row
            return None
        taken = self.admission.take((row.pipeline, row.trigger), row.terms, row.place, self.now)
        if taken.run is None:
            return _fate(row, Fate.RATE_LIMITED, taken.reason)
        if taken.opens:
            found.runs[row.place] = row
        else:
            number = self.admission.runs[taken.run].events - 1
            found.joins.append(Join(row, taken.run, number))
        found.newest[taken.run] = row
        return None


def _fate(row: RunRow, fate: Fate, reason: str) -> FateRow:
    return FateRow(row.event_key, row.pipeline, row.trigger, fate, reason)


def _lock_keys(row: RunRow) -> Iterable[tuple[str, str]]:
    terms = row.terms or Terms()
    if terms.coalesce is not None:
        yield (row.pipeline, f"gather {row.trigger} {terms.gather_key}")
    if terms.rate_limit is not None:
        yield (row.pipeline, f"burst {row.trigger} {terms.rate_key}")


async def _gathering(
    flush: Flush, rows: Iterable[RunRow]
) -> tuple[dict[tuple[Hashable, str], tuple[Member, Gathering]], datetime | None]:
    """The runs that take events of these keys, locked, and the time of this transaction."""
    keys = {
        (row.pipeline, row.trigger, row.terms.gather_key)
        for row in rows
        if row.terms and row.terms.coalesce is not None
    }
    found: dict[tuple[Hashable, str], tuple[Member, Gathering]] = {}
    now = None
    for row in await flush.connection.fetch(sql("gathering_runs"), *columns(sorted(keys), 3)) if keys else ():
        now = row["at"]
        if row["id"] is not None:
            held = Gathering(row["queued_at"], row["ready_at"], row["gathered"])
            found[(row["pipeline"], row["trigger"]), row["key"]] = (row["id"], held)
    return found, now


async def _began(
    flush: Flush, rows: Iterable[RunRow]
) -> tuple[dict[tuple[Hashable, str], list[datetime]], datetime | None]:
    """When runs of these limited triggers and keys began, and the time of this transaction."""
    asked = {
        (row.pipeline, row.trigger, row.terms.rate_key): row.terms.rate_limit
        for row in rows
        if row.terms and row.terms.rate_limit is not None
    }
    wanted = [(*key, limit.per_s, limit.runs) for key, limit in sorted(asked.items(), key=lambda one: one[0])]
    found: dict[tuple[Hashable, str], list[datetime]] = {}
    now = None
    for row in await flush.connection.fetch(sql("burst_starts"), *columns(wanted, 5)) if wanted else ():
        now = row["at"]
        found[(row["pipeline"], row["trigger"]), row["key"]] = list(row["began"])
    return found, now
