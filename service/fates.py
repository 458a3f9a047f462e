"""Which of several fates counts."""

from __future__ import annotations

from collections.abc import Iterable

from triggers.base import Fate

NOBODY = "no pipeline listens for this event"

# Where several triggers of one pipeline see the same event, the strongest offer decides.
STRENGTH = {
    Fate.RAN: 6,
    Fate.COALESCED: 5,
    Fate.RATE_LIMITED: 4,
    Fate.LATE: 3,
    Fate.PAUSED: 2,
    Fate.DEAD: 1,
    Fate.IGNORED: 0,
}


def strongest(fates: Iterable[Fate]) -> Fate:
    """The fate of an event that has these in its pipelines; `ignored` where there is none."""
    return max(fates, key=STRENGTH.__getitem__, default=Fate.IGNORED)
