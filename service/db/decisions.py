"""A person's vote at a gate and the event it makes: both are written, or neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from service.db.accept import Accept, Accepted
from service.db.votes import DecideGate, Voted
from service.db.writer import Flush, Operation
from service.model import GateState
from triggers.errors import PositionMoved


@dataclass(eq=False, slots=True)
class DecideByEvent(Operation):
    """Vote at a gate, and only if that counts accept the event of it: `decides` if the gate is decided by it, else
    `votes` (None where one vote decides).

    The answer is a `Voted`, and with it an `Accepted` if it counted.
    """

    order: ClassVar[int] = 46

    decide: DecideGate
    decides: Accept
    votes: Accept | None = None

    def committed(self, answer: Any) -> None:
        """Hand over the runs the event started, if any."""
        voted, accepted = answer
        told = self.told_by(voted)
        for accept in self._accepts():
            accept.committed(accepted if accept is told else None)

    def refused(self) -> None:
        """Give back the places reserved for them."""
        for accept in self._accepts():
            accept.refused()

    def in_vain(self, answer: Any) -> bool:
        """The vote did not count."""
        return not answer[0]

    def told_by(self, voted: Voted) -> Accept | None:
        """The event to accept, None where the vote does not count."""
        if not voted:
            return None
        return self.votes if voted.state is GateState.WAITING else self.decides

    def _accepts(self) -> Sequence[Accept]:
        return [accept for accept in (self.decides, self.votes) if accept is not None]

    @classmethod
    async def write(
        cls, flush: Flush, operations: Sequence[DecideByEvent]
    ) -> Sequence[tuple[Voted, Accepted | PositionMoved | None]]:
        """Of several votes at one gate each sees those before it."""
        voted = await DecideGate.write(flush, [operation.decide for operation in operations])
        told = [operation.told_by(one) for operation, one in zip(operations, voted, strict=True)]
        telling = [accept for accept in told if accept is not None]
        accepted = dict(zip(telling, await Accept.write(flush, telling), strict=True)) if telling else {}
        return [(one, accepted.get(accept) if accept else None) for one, accept in zip(voted, told, strict=True)]
