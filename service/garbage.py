"""How a daemon minds its memory: what it loaded at its start is never looked through again, and the rest seldom."""

from __future__ import annotations

import ctypes
import gc
import sys

# Objects made between two looks at the youngest, and how many of those looks make one at the next older ones. Runs and
# attempts hold no cycles worth looking for at Python's own 700: that took a twelfth of the time of a busy daemon.
THRESHOLDS = (20_000, 20, 50)

# mallopt(3) of glibc, by number, in bytes. By default it gives the top of the heap back to the system whenever 128 KiB
# of it are free. A busy daemon wants them again at once: 6 page faults a run were a fifteenth of its time.
KEEP = {"M_TRIM_THRESHOLD": (-1, 16 << 20), "M_TOP_PAD": (-2, 1 << 20)}


def settle() -> None:
    """Call once everything is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        for number, size_bytes in KEEP.values():
            mallopt(number, size_bytes)
