"""Ending the sessions of browsers: of a person, or of everybody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from service.db.connect import sql
from service.db.tokens import WAKE
from service.db.writer import Flush, Operation

EVERYBODY = ""


@dataclass(eq=False, slots=True)
class EndSessions(Operation):
    """No session that has begun goes on, of whoever acts under this name or has this subject at the provider."""

    order: ClassVar[int] = 82

    person: str
    by: str

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[EndSessions]) -> Sequence[None]:
        """Every process hears of it, as of tokens."""
        flush.wakes.add(WAKE)
        for op in operations:
            await flush.connection.execute(sql("end_sessions"), op.person, op.by)
        return [None] * len(operations)
