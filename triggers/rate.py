"""How many runs one trigger may start in a time. What is too much is not queued but refused, and says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from triggers.declared import Declared
from triggers.errors import InvalidTrigger
from triggers.numbers import is_number, is_whole

_MOST_RUNS = 10_000
_LONGEST_S = 366 * 86_400.0
_SHOWN = 80


@dataclass(frozen=True, slots=True)
class RateLimit(metaclass=Declared):
    """At most `runs` runs from one trigger in any `per_s` seconds, for each value at `key` where a path is given.

    An event too many starts nothing: its fate is `rate-limited`. (`Rate` of a pipeline lets runs wait instead.)
    Raises `InvalidTrigger`.
    """

    runs: int
    per_s: float
    key: str | None = None

    def __post_init__(self) -> None:
        if not is_whole(self.runs, 1, _MOST_RUNS):
            raise InvalidTrigger(f"RateLimit: runs={self.runs!r}: give a whole number from 1 to {_MOST_RUNS}")
        if not is_number(self.per_s, 0.001, _LONGEST_S):
            raise InvalidTrigger(f"RateLimit: per_s={self.per_s!r}: give seconds, from 0.001 to {_LONGEST_S:.0f}")
        if self.key is not None and not (isinstance(self.key, str) and all(self.key.split("."))):
            raise InvalidTrigger(f"RateLimit: key={self.key!r} is no path into the event, such as subject or data.id")

    def why_not(self, started: Sequence[datetime], now: datetime, key: str = "") -> str:
        """Why no run of `key` (`=value`, or empty) may start now, given when the newest did; empty when one may."""
        since = now - timedelta(seconds=self.per_s)
        if sum(at > since for at in started) < self.runs:
            return ""
        some = "run" if self.runs == 1 else "runs"
        return f"this trigger starts at most {self.runs} {some} in {self.per_s:g} s{self._of(key)} (rate_limit)"

    def _of(self, key: str) -> str:
        if self.key is None:
            return ""
        if not key:
            return f" for events without {self.key}"
        return f" for {self.key}{key[:_SHOWN]}" if key.isprintable() else f" for {self.key}={key[1:_SHOWN]!a}"
