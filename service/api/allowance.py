"""How many deliveries a hook takes: a bucket of tokens in this process, refilled steadily."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from service.api.problems import Problem


class Allowance:
    """`per_minute` deliveries a minute, as many at once if none came before. Each daemon counts its own."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._left = float(per_minute)
        self._seen = clock()

    def take(self) -> None:
        """Count one delivery. Raises 429 with the time after which the next one is taken."""
        now = self._clock()
        self._left = min(self._per_minute, self._left + (now - self._seen) * self._per_minute / 60)
        self._seen = now
        if self._left < 1:
            wait_s = math.ceil((1 - self._left) * 60 / self._per_minute)
            raise Problem(
                429,
                f"this hook takes {self._per_minute} deliveries a minute: send this one again in {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )
        self._left -= 1
