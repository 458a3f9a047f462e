"""What becomes of the ticks and events nobody was there for: one pure policy, the same for every kind of trigger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from triggers.errors import InvalidTrigger
from triggers.numbers import is_number, is_whole

Missed = Literal["all", "latest", "none"]

# A restart or a stall shorter than this is no downtime: what was due meanwhile is on time under every policy.
ON_TIME_S = 60.0
# Late ticks recorded one by one; the last of the older ones stands for them all.
MAX_RECORDED = 1000
_MAX_BURST = 10_000
_LONGEST_S = 366 * 86_400 * 100.0
_MOST_ON_TIME = int(ON_TIME_S) + 1


@dataclass(frozen=True, slots=True)
class Tick:
    """A due instant. With `late`, the reason why it starts no run."""

    due_at: datetime
    late: str = ""


@dataclass(frozen=True, slots=True)
class MissedPolicy:
    """Which of the ticks, or events, missed while nobody listened still run.

    `all` of them (at most the newest `max_burst`), the `latest` only, or `none`; never one older than `max_age_s`.
    What is no older than a minute is not missed but on time. Of events, the newest are those handed to the inbox last
    and at once: what one fetch, scan or request found. Raises `InvalidTrigger`.
    """

    missed: Missed = "latest"
    max_age_s: float | None = None
    max_burst: int | None = 100

    def __post_init__(self) -> None:
        if self.missed not in get_args(Missed):
            raise InvalidTrigger(f"missed={self.missed!r} is not known. Choose 'all', 'latest' or 'none'.")
        if self.max_age_s is not None and not is_number(self.max_age_s, 1e-9, _LONGEST_S):
            raise InvalidTrigger(f"max_age_s={self.max_age_s!r} is not positive. Give seconds, or None for any age.")
        if self.max_burst is not None and not is_whole(self.max_burst, 1, _MAX_BURST):
            raise InvalidTrigger(f"max_burst={self.max_burst!r} is out of range. Choose 1 to {_MAX_BURST}.")

    def why_late(self, age_s: float, newer: int) -> str:
        """Why a tick of this age with so many newer ones does not run; empty when it does."""
        if self.max_age_s is not None and age_s > self.max_age_s:
            return f"missed: {age_s:.0f} s old before anyone could run it, max_age_s is {self.max_age_s:g}"
        if age_s <= ON_TIME_S:
            return ""
        if self.missed == "none":
            return "missed: this trigger does not catch up (missed='none')"
        if self.missed == "latest" and newer:
            return "missed: a newer one runs instead (missed='latest')"
        if self.missed == "all" and self.max_burst is not None and newer >= self.max_burst:
            return f"missed: only the newest {self.max_burst} catch up (max_burst)"
        return ""

    @property
    def reach(self) -> int:
        """How many of the newest ticks `judge` must be given: all it can run or record, and one more."""
        return MAX_RECORDED + max(self.max_burst or _MAX_BURST, _MOST_ON_TIME) + 1


def why_each(times: Sequence[datetime], now: datetime, policy: MissedPolicy) -> list[str]:
    """For events that are handed over together, each with its own time: why it is late; empty where it runs.

    How many are newer is counted among these, by their times; of the same time, the one handed over later is newer.
    """
    order = sorted(range(len(times)), key=lambda number: times[number])
    reasons = [""] * len(times)
    for newer, number in enumerate(reversed(order)):
        reasons[number] = policy.why_late((now - times[number]).total_seconds(), newer)
    return reasons


def judge(due: Sequence[datetime], now: datetime, policy: MissedPolicy, *, first: datetime | None = None) -> list[Tick]:
    """Say of each due instant, oldest first and none later than `now`, whether it runs.

    `first` is when the oldest was due if only the newest `policy.reach` are given. Late ones beyond `MAX_RECORDED`
    become one, which says for which time it stands.
    """
    late = [policy.why_late((now - instant).total_seconds(), newer) for newer, instant in enumerate(reversed(due))]
    ticks = [Tick(instant, reason) for instant, reason in zip(due, reversed(late), strict=True)]
    surplus = sum(map(bool, late)) - MAX_RECORDED - 1
    if surplus < 0:
        return ticks
    last = ticks[surplus]
    span = f"stands for every tick due from {(first or due[0]).isoformat()} to {last.due_at.isoformat()}"
    return [Tick(last.due_at, f"{last.late}; {span}"), *ticks[surplus + 1 :]]
