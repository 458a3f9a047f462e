"""Whether a curve of memory is flat: it has two bounds, and one of them is told in bytes for each run. Pure."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

# The first third is for caches and pools to fill. What is left may grow by so much of itself.
WARM_UP, MOST_GROWTH = 1 / 3, 0.05
# What one run may leave behind: less than an object in a dict would be.
LEAK_BYTES = 200.0
# A leak of that size has to make so much of the median between the two windows, or the curve is too short to show it.
TELLING = 0.02


@dataclass(frozen=True, slots=True)
class Judgement:
    """`grew` is a share of the median, `per_run` the bytes that each run left behind, `shows` the share that a leak of
    `LEAK_BYTES` a run would have made.
    """

    grew: float
    per_run: float
    shows: float

    @property
    def flat(self) -> bool:
        """Whether it is, and could have been told not to be."""
        return self.grew <= MOST_GROWTH and self.per_run <= LEAK_BYTES and self.shows >= TELLING

    def __str__(self) -> str:
        short = f"TOO FEW RUNS TO TELL ({LEAK_BYTES:g} bytes a run would be {100 * self.shows:.1f} %)"
        told = "flat" if self.flat else short if self.shows < TELLING else "NOT FLAT"
        return (
            f"grew by {100 * self.grew:.1f} % of its median after the first third, and from one half of that to the "
            f"other by {self.per_run:.0f} bytes a run: {told}"
        )


def judged(samples: Sequence[float], runs: Sequence[int]) -> Judgement:
    """Judge samples taken at even intervals; `runs` are how many there had been by each."""
    start = int(len(samples) * WARM_UP)
    middle = (start + len(samples)) // 2
    halves = (slice(start, middle), slice(middle, None))
    early, late = (statistics.median(samples[half]) for half in halves)
    between = max(statistics.median(runs[halves[1]]) - statistics.median(runs[halves[0]]), 1.0)
    return Judgement(
        grew=growth(samples), per_run=(late - early) / between, shows=LEAK_BYTES * between / statistics.median(samples)
    )


def growth(samples: Sequence[float]) -> float:
    """By how much of itself the median grew, by the median of all slopes (Theil and Sen): outliers do not count."""
    kept = samples[int(len(samples) * WARM_UP) :]
    slopes = [(b - a) / (j - i) for (i, a), (j, b) in itertools.combinations(enumerate(kept), 2)]
    return statistics.median(slopes) * (len(kept) - 1) / statistics.median(kept)
