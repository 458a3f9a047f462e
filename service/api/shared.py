"""Answers that many ask for at once: made once, and given to all who ask within a moment."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")

LASTS_S = 0.5


class Shared:
    """By name. Whoever asks while an answer is made waits for it."""

    def __init__(self, lasts_s: float = LASTS_S) -> None:
        self._lasts_s = lasts_s
        self._held: dict[str, tuple[float, Any]] = {}
        self._forgotten = 0.0
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def of(self, name: str, make: Callable[[], Awaitable[T]], fits: Callable[[T], bool] = lambda _: True) -> T:
        """The answer of this name, made by `make` where there is none, it is too old or does not fit."""
        async with self._making[name]:
            made_at, answer = self._held.get(name, (0.0, None))
            oldest = max(time.monotonic() - self._lasts_s, self._forgotten)
            if made_at <= oldest or name not in self._held or not fits(answer):
                begun = time.monotonic()
                answer = await make()
                self._held[name] = (begun, answer)
        found: T = answer
        return found

    def forget(self) -> None:
        """What was read before now is no answer any more."""
        self._forgotten = time.monotonic()
