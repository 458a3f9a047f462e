"""Runs whose times have passed while nobody drove them: not started in time, or late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from service.db.connect import sql
from service.db.parents import tell_parents
from service.db.writer import Flush, Operation


@dataclass(frozen=True, slots=True)
class Swept:
    """Which runs (id, pipeline) failed because nobody started them, and which are late since when."""

    unstarted: Sequence[tuple[int, str]]
    late: Sequence[tuple[int, str, datetime]]


@dataclass(eq=False, slots=True)
class Sweep(Operation):
    """Fail the runs nobody started in time, and mark those that are late. Any number of processes may sweep."""

    order: ClassVar[int] = 95

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Sweep]) -> Sequence[Swept]:
        """Each run is found once, by whoever is first."""
        unstarted = await flush.connection.fetch(sql("expire_queued"))
        late = await flush.connection.fetch(sql("mark_late"))
        flush.log.extend({"run": row["id"], "pipeline": row["pipeline"], "move": "failed"} for row in unstarted)
        flush.log.extend({"run": row["id"], "pipeline": row["pipeline"], "move": "late"} for row in late)
        await tell_parents(flush, [row["parent_run"] for row in unstarted if row["parent_run"] is not None])
        found = Swept(
            [(row["id"], row["pipeline"]) for row in unstarted],
            [(row["id"], row["pipeline"], row["due_at"]) for row in late],
        )
        return [found] * len(operations)
