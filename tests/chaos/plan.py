"""What goes wrong, and when: drawn from a seed, so that the same seed is the same storm."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

DAEMONS = 3
# Seconds between two faults.
CALM_S = (1.0, 4.0)
# A point is reached so often at most before something happens there; one that a daemon seldom meets, the second number.
LATEST, LATEST_OF_RARE = 20, 3
OFTEN = ("accept.", "answer.", "claim.", "lease.", "moverun.", "putattempt.", "stage.", "writer.")

# What a daemon writes in a storm.
WRITES = (
    *("accept", "adopt", "blame", "claim", "decidebyevent", "keepcode", "moverun", "owned", "putattempt", "putgate"),
    *("putpipeline", "puttriggerstatus", "register_daemon", "release", "sink_begin", "sink_move", "sink_trouble"),
    *("sweep", "waitingversions", "writer"),
)
# Where a call that fails is refused, put off or made again by whoever made it.
FAILING = (
    *(f"{name}.{when}" for name in WRITES for when in ("commit", "committed") if name not in ("register_daemon",)),
    *("stage.take", "stage.take.done", "stage.make", "stage.make.done", "stage.publish", "stage.publish.done"),
    *("stage.fold", "stage.fold.done", "artifact.put", "artifact.kept", "lease.renew", "offsets.commit"),
)
POINTS = (
    *FAILING,
    *("register_daemon.commit", "register_daemon.committed", "answer.send", "answer.sent", "file.accepted"),
    *("file.seen", "offsets.committed", "sink.deliver", "sink.delivered", "tick.due", "tick.accepted"),
)

# What may happen, and how often in a hundred.
KINDS = {
    "kill": 18,
    "leave": 6,
    "pause": 10,
    "crash at": 26,
    "stop at": 10,
    "fail at": 6,
    "delay at": 6,
    "cut database": 6,
    "restart database": 4,
    "cut broker": 8,
    "no artifact store": 4,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong `at_s` seconds after the beginning.

    `daemon` is which of them it happens to, None where it happens to all. `point` and `nth` say where a process dies,
    stops, waits or fails (see `triggers.faults`); `seconds` is how long it lasts.
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
    there = FAILING if kind == "fail at" else POINTS
    daemon, point = dice.randrange(DAEMONS), dice.choice(there)
    nth = dice.randint(1, LATEST if point.startswith(OFTEN) else LATEST_OF_RARE)
    lasts_s = dice.uniform(0.1, 3.0)
    match kind:
        case "kill" | "leave" | "pause":
            return Fault(at_s, kind, daemon)
        case "crash at" | "stop at" | "fail at":
            return Fault(at_s, kind, daemon, point, nth)
        case "delay at":
            return Fault(at_s, kind, daemon, point, nth, seconds=lasts_s)
        case _:
            return Fault(at_s, kind, seconds=lasts_s)
