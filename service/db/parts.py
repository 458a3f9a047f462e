"""For how long one request looks through rows for what no index finds, and how many of them at once (decision 52)."""

from __future__ import annotations

from time import monotonic

AT_ONCE = 1_000
SEARCH_S = 0.03
# Of that: a part that took longer is followed by none that is larger. Rows that nobody has read lately take far longer.
SOON = 1 / 8


class Parts:
    """The parts of one search: each has `size` rows at most."""

    def __init__(self) -> None:
        self.size = AT_ONCE
        self._at = monotonic()
        self._until = self._at + SEARCH_S

    def go_on(self) -> bool:
        """Whether to look through another part, behind the one that was looked through since."""
        began, self._at = self._at, monotonic()
        if self._at - began < SEARCH_S * SOON:
            self.size *= 2
        return self._at < self._until
