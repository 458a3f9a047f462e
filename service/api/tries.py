"""How often somebody may fail to sign in: by the address they come from, and by the name they give."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from service.api.problems import Problem

WITHIN_S = 300.0
# A name can be given by anybody: more may fail under it before its owner has to wait, too.
MOST = {"address": 10, "name": 50}
REMEMBERED = 10_000


class Tries:
    """Counts failures of the last minutes. Of very many, those that failed least recently are forgotten."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failed: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failed)

    def check(self, address: str, name: str) -> None:
        """Raises 429 while there were too many, whatever is shown now."""
        for key in _keys(address, name):
            count, began = self._failed.get(key, (0, 0.0))
            left_s = WITHIN_S - (self._now() - began)
            if count >= MOST[key[0]] and left_s > 0:
                wait_s = math.ceil(left_s)
                told = f"too many tries to sign in from this {key[0]}: try again in {wait_s} s"
                raise Problem(429, told, headers={"Retry-After": str(wait_s)})

    def fail(self, address: str, name: str) -> None:
        """Count one that failed."""
        now = self._now()
        for key in _keys(address, name):
            count, began = self._failed.pop(key, (0, now))
            self._failed[key] = (count + 1, began) if now - began < WITHIN_S else (1, now)
        while len(self._failed) > REMEMBERED:
            self._failed.popitem(last=False)


def _keys(address: str, name: str) -> list[tuple[str, str]]:
    return [("address", address), *([("name", name.casefold())] if name else [])]
