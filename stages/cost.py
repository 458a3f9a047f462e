"""What an attempt costs its machine, measured by the process that makes it."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# Written to clear_refs, the peak begins anew (proc(5)).
FORGET_THE_PEAK = "5"
PROC = Path("/proc/self")


@dataclass(frozen=True, slots=True)
class Cost:
    """`cpu_s` counts what the attempt started in turn, too, once that has ended. `memory_bytes` is the most that its
    own process held at once; None where the system does not tell.
    """

    cpu_s: float
    memory_bytes: int | None


class Meter:
    """Counts from when it is made. One at a time in a process."""

    def __init__(self) -> None:
        self._peaks = _forget_the_peak()
        self._begun_s = _cpu_s()

    def read(self) -> Cost:
        """What was used since."""
        return Cost(round(max(_cpu_s() - self._begun_s, 0.0), 6), _peak_bytes() if self._peaks else None)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _forget_the_peak() -> bool:
    """Whether the peak counts from now on: a warm worker's is that of all it did before."""
    try:
        (PROC / "clear_refs").write_text(FORGET_THE_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def _peak_bytes() -> int | None:
    with suppress(OSError):
        for line in (PROC / "status").read_text(encoding="utf-8").splitlines():
            name, _, told = line.partition(":")
            if name == "VmHWM":
                return int(told.split()[0]) * 1024
    return None
