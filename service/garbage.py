"""How a daemon collects garbage: what it loaded at its start is never looked through again, and the rest seldom."""

from __future__ import annotations

import gc

# Objects made between two looks at the youngest, and how many of those looks make one at the next older ones. Runs and
# attempts hold no cycles worth looking for at Python's own 700: that took a twelfth of the time of a busy daemon.
THRESHOLDS = (20_000, 20, 50)


def settle() -> None:
    """Call once everything is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
