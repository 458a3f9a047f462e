"""What goes wrong, and when: drawn from a seed, so that the same seed is the same storm."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

DAEMONS = 3
# Seconds between two faults.
CALM_S = (1.0, 4.0)
# A point is reached so often at most before something happens there.
LATEST = 20

POINTS = (
    *("accept.commit", "accept.committed", "claim.commit", "claim.committed", "writer.commit", "writer.committed"),
    *("stage.take", "stage.take.done", "stage.make", "stage.make.done", "stage.publish", "stage.publish.done"),
    *("stage.fold", "stage.fold.done"),
)

# What may happen, and how often in a hundred.
KINDS = {
    "kill": 22,
    "leave": 8,
    "pause": 12,
    "crash at": 24,
    "stop at": 10,
    "fail at": 6,
    "cut database": 6,
    "restart database": 4,
    "cut broker": 8,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong `at_s` seconds after the beginning.

    `daemon` is which of them it happens to, None where it happens to all. `point` and `nth` say where a process dies,
    stops or fails (see `service.faults`); `seconds` is how long it lasts.
    """

    at_s: float
    kind: str
    daemon: int | None = None
    point: str = ""
    nth: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        told = [f"{self.at_s:6.1f} s  {self.kind}", self.point and f"{self.point} (time {self.nth})"]
        told.append(f"for {self.seconds:.1f} s" if self.seconds else "")
        told.append("" if self.daemon is None else f"daemon {self.daemon}")
        return ", ".join(filter(None, told))


def plan(seed: int, seconds: float) -> Sequence[Fault]:
    """All that goes wrong in so many seconds."""
    dice = random.Random(seed)
    faults: list[Fault] = []
    at_s = dice.uniform(*CALM_S)
    while at_s < seconds:
        faults.append(_fault(dice, at_s))
        at_s += dice.uniform(*CALM_S)
    return faults


def _fault(dice: random.Random, at_s: float) -> Fault:
    [kind] = dice.choices(list(KINDS), list(KINDS.values()))
    daemon, point, nth = dice.randrange(DAEMONS), dice.choice(POINTS), dice.randint(1, LATEST)
    lasts_s = dice.uniform(0.1, 3.0)
    match kind:
        case "kill" | "leave" | "pause":
            return Fault(at_s, kind, daemon)
        case "crash at" | "stop at" | "fail at":
            return Fault(at_s, kind, daemon, point, nth)
        case _:
            return Fault(at_s, kind, seconds=lasts_s)
