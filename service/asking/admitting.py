"""Whether a run that would be offered would be started: pauses, shared runs and limited rates, as they stand now.

Asks the same pure policy as `service.db.admit`, and locks and writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from service.db.connect import columns
from service.db.offered import FateRow, RunRow
from service.db.pauses import Pauses
from service.db.reads import Reads
from service.fates import STRENGTH
from triggers.admission import Admission
from triggers.base import Fate
from triggers.coalesce import Gathering

NEW = "new"
Place = tuple[str, str]


@dataclass(slots=True)
class Foreseen:
    """What would be started, a row for each pipeline, and why offers would not be, by pipeline and trigger."""

    winners: list[RunRow | FateRow] = field(default_factory=list)
    refused: dict[Place, FateRow] = field(default_factory=dict)


async def foreseen(reads: Reads, decided: Sequence[RunRow | FateRow], now: datetime) -> Foreseen:
    """What the settings of triggers would make of what the inbox would decide. Raises `DatabaseUnavailable`."""
    pauses = Pauses.read(await reads.fetch("standing_pauses"))
    found = Foreseen()
    for row in decided:
        found.winners.append(await _first(reads, pauses, row, now, found) if isinstance(row, RunRow) else row)
        winner = found.winners[-1]
        if isinstance(winner, FateRow):
            found.refused[winner.pipeline, winner.trigger] = winner
    return found


async def _first(reads: Reads, pauses: Pauses, row: RunRow, now: datetime, found: Foreseen) -> RunRow | FateRow:
    """The first of the offers that would be started or join a run; where none would, the fate that counts."""
    fates: list[FateRow] = []
    for one in row.alternatives():
        fate = one if isinstance(one, FateRow) else await _fate(reads, pauses, one, now)
        if fate is None:
            return one
        found.refused[fate.pipeline, fate.trigger] = fate
        if fate.fate is Fate.COALESCED:
            return fate
        fates.append(fate)
    return max(fates, key=lambda one: STRENGTH[one.fate])


async def _fate(reads: Reads, pauses: Pauses, row: RunRow, now: datetime) -> FateRow | None:
    """Why it would open no run; None where it would."""
    pause = pauses.holding(row.pipeline, row.trigger) if row.pausable else None
    if pause is not None:
        return _row(row, Fate.PAUSED, pause.tells())
    if row.terms is None:
        return None
    scope = (row.pipeline, row.trigger)
    gathering, began = await _gathering(reads, row), await _began(reads, row)
    held = None if gathering is None else gathering[1]
    admission: Admission[int | str] = Admission(
        {} if gathering is None else {(scope, row.terms.gather_key): gathering}, {(scope, row.terms.rate_key): began}
    )
    taken = admission.take(scope, row.terms, NEW, now)
    if taken.run is None:
        return _row(row, Fate.RATE_LIMITED, taken.reason)
    if taken.opens or held is None:
        return None
    due_at = admission.runs[taken.run].due_at.isoformat(timespec="seconds")
    holds = "1 event" if held.events == 1 else f"{held.events} events"
    return _row(row, Fate.COALESCED, f"it would join run {taken.run}, which holds {holds} and is due {due_at}")


async def _gathering(reads: Reads, row: RunRow) -> tuple[int | str, Gathering] | None:
    if row.terms is None or row.terms.coalesce is None:
        return None
    key = (row.pipeline, row.trigger, row.terms.gather_key)
    found = await reads.row("gathering_now", *columns([key], 3))
    return None if found is None else (found["id"], Gathering(found["queued_at"], found["ready_at"], found["gathered"]))


async def _began(reads: Reads, row: RunRow) -> list[datetime]:
    limit = None if row.terms is None else row.terms.rate_limit
    if row.terms is None or limit is None:
        return []
    asked = (row.pipeline, row.trigger, row.terms.rate_key, limit.per_s, limit.runs)
    found = await reads.row("burst_starts", *columns([asked], 5))
    return [] if found is None else list(found["began"])


def _row(row: RunRow, fate: Fate, reason: str) -> FateRow:
    return FateRow(row.event_key, row.pipeline, row.trigger, fate, reason)
