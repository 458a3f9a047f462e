"""Pausing a trigger or a pipeline, and going on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from service.db.connect import sql
from service.db.writer import CHANGED, Flush, Operation


@dataclass(eq=False, slots=True)
class PutPause(Operation):
    """Pause a trigger of a pipeline, or (no trigger) all of it. The answer is whether it was not paused before.

    No flush that begins after this has committed starts a run for an event of it, in any process.
    """

    order: ClassVar[int] = 70

    pipeline: str
    trigger: str
    reason: str
    by: str

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutPause]) -> Sequence[bool]:
        """Twice is once: the first reason stays."""
        flush.wakes.add(CHANGED)
        return [
            await flush.connection.fetchval(sql("pause"), op.pipeline, op.trigger, op.reason, op.by) is not None
            for op in operations
        ]


@dataclass(eq=False, slots=True)
class LiftPause(Operation):
    """Go on. The answer is the pause that is over, None where it was not paused."""

    order: ClassVar[int] = 71

    pipeline: str
    trigger: str
    by: str

    def in_vain(self, answer: Any) -> bool:
        """It was not paused."""
        return answer is None

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[LiftPause]) -> Sequence[int | None]:
        """Twice is once."""
        flush.wakes.add(CHANGED)
        return [await flush.connection.fetchval(sql("unpause"), op.pipeline, op.trigger, op.by) for op in operations]
