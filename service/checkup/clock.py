"""Clocks: schedules, leases and due times go by the database's; times that senders do not tell, by the machine's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.checkup.finding import Finding, fine, problem, warning

WARNING_S = 1.0
PROBLEM_S = 60.0


@dataclass(frozen=True, slots=True)
class Skew:
    """How far another clock is ahead of this machine's, give or take `unsure_s`."""

    ahead_s: float
    unsure_s: float

    @classmethod
    def between(cls, before: datetime, there: datetime, after: datetime) -> Skew:
        """From one reading of the other clock and this machine's before and after it."""
        unsure = (after - before) / 2
        return cls((there - (before + unsure)).total_seconds(), unsure.total_seconds())


def clock(skew: Skew) -> Finding:
    """Whether this machine and Postgres are of one mind about the time."""
    off_s = max(abs(skew.ahead_s) - skew.unsure_s, 0.0)
    told = f"Postgres is {off_s:.1f} s {'ahead of' if skew.ahead_s > 0 else 'behind'} this machine"
    if off_s >= PROBLEM_S:
        return problem("clock", told, "keep both on time, such as with chrony")
    if off_s >= WARNING_S:
        return warning("clock", told, "schedules go by that of Postgres: keep both on time, such as with chrony")
    return fine("clock", "this machine and Postgres agree")
