"""The gate that waits for a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stages.gates.base import GateContext, GateResult, GateState


@dataclass(frozen=True)
class Approval:
    """Always waits: the run holds no worker until somebody approves or rejects. `by` says who should."""

    name: str
    by: tuple[str, ...]
    needs_output: bool = False

    def check(self, evidence: GateContext) -> GateResult:
        """See `Gate`."""
        return GateResult(GateState.WAITING, f"waits for {' or '.join(self.by) or 'anybody'}", {"by": list(self.by)})


def approved(by: str | Sequence[str] = (), *, name: str = "approved") -> Approval:
    """Wait until a person decides; `by` names them or their group, for those who read it."""
    return Approval(name, (by,) if isinstance(by, str) else tuple(by))
