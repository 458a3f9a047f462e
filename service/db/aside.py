"""Setting results aside: they stay on record, and count no longer in their run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from service.db.connect import sql
from service.db.writer import Flush, Operation
from service.errors import RunLost

STALE = "stale"


@dataclass(eq=False, slots=True)
class SetAside(Operation):
    """The owner of a run found that items of a mapped stage are not what would be made now.

    The answer may be `RunLost`.
    """

    order: ClassVar[int] = 20

    run_id: int
    epoch: int
    stage: str
    items: Sequence[int]

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[SetAside]) -> Sequence[RunLost | None]:
        """Again is the same: what is set aside stays so."""
        return [await _set_aside(flush, op) for op in operations]


async def _set_aside(flush: Flush, op: SetAside) -> RunLost | None:
    if await flush.connection.fetchval(sql("owns_run"), op.run_id, op.epoch) is None:
        return RunLost(f"run {op.run_id} was adopted by another process: {op.stage} keeps its items")
    await flush.connection.execute(sql("set_aside_items"), op.run_id, op.stage, list(op.items), STALE)
    return None
