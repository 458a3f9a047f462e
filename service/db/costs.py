"""Writing what attempts cost: rows of their own, so that attempts that are not measured cost nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from service.db.connect import columns, sql
from service.db.stage_logs import Place
from service.db.writer import Flush, Operation
from stages.cost import Cost


@dataclass(eq=False, slots=True)
class PutCost(Operation):
    """What an attempt cost. Nobody waits for it; again is the same."""

    order: ClassVar[int] = 25

    place: Place
    cost: Cost

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutCost]) -> Sequence[None]:
        """A run that was removed meanwhile gets no row."""
        rows = [(*op.place, op.cost.cpu_s, op.cost.memory_bytes) for op in operations]
        await flush.connection.execute(sql("put_costs"), *columns(rows, 6))
        return [None] * len(operations)
