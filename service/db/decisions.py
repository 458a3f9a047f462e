"""A person's decision at a gate and the event it makes: both are written, or neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from service.db.accept import Accept, Accepted
from service.db.runs import DecideGate
from service.db.writer import Flush, Operation
from triggers.errors import PositionMoved


@dataclass(eq=False, slots=True)
class DecideByEvent(Operation):
    """Decide a gate if it is waiting, and only then accept the event. The answer is None where it was not waiting."""

    order: ClassVar[int] = 46

    decide: DecideGate
    accept: Accept

    def committed(self, answer: Any) -> None:
        """Hand over the runs the event started, if any."""
        self.accept.committed(answer)

    def refused(self) -> None:
        """Give back the places reserved for them."""
        self.accept.refused()

    @classmethod
    async def write(
        cls, flush: Flush, operations: Sequence[DecideByEvent]
    ) -> Sequence[Accepted | PositionMoved | None]:
        """Of several decisions on one gate the first one counts."""
        decided = await DecideGate.write(flush, [operation.decide for operation in operations])
        telling = [operation.accept for operation, counts in zip(operations, decided, strict=True) if counts]
        accepted = dict(zip(telling, await Accept.write(flush, telling), strict=True)) if telling else {}
        return [accepted.get(operation.accept) for operation in operations]
