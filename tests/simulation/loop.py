"""An event loop whose time is simulated: where nothing is to be done, it is at once as late as the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class NothingHappens(Exception):
    """Everybody waits for somebody else, and no timer runs."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Runs the same tasks in the same order each time. Nothing may wait for a file, the network, or a thread."""

    def __init__(self) -> None:
        self._now_s = 0.0
        super().__init__(_NoWaiting(self))

    def time(self) -> float:
        """Seconds since its beginning."""
        return self._now_s

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """At once, and here: nobody can tell how long a thread would take."""
        done = self.create_future()
        done.set_result(func(*args))
        return done

    def pass_time(self, seconds: float) -> None:
        """It is later now."""
        self._now_s += seconds


class _NoWaiting(selectors.SelectSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        """Nothing is ever ready; time passes instead."""
        if timeout is None:
            raise NothingHappens("every task waits, and there is no timer")
        self._loop.pass_time(max(timeout, 0.0))
        return []
