"""The alarm clock: APScheduler, used for one thing only, to ring when something is due.

What is due, and what becomes of it, is never APScheduler's to decide: it has one job, the next ring, and no due times,
misfires or store of its own here, so it can be early, late or ring too often without a tick being lost or doubled. One
job, because a thousand that are due at midnight would be a thousand turns of its loop.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from triggers.event import utc_now


class Alarm:
    """Calls `ring` on the running loop at the time that was set last. A context manager."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._at: datetime | None = None
        # The debug executor calls `ring` in place: no thread, and no task of which nobody knows.
        self._scheduler = AsyncIOScheduler(timezone=UTC, executors={"default": DebugExecutor()})

    def __enter__(self) -> Alarm:
        self._scheduler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scheduler.shutdown(wait=False)

    def ring_at(self, at: datetime | None, now: datetime) -> None:
        """Ring once at `at` (at once where it has passed, never for None), instead of when it was set to before.

        `now` is the time on the clock that `at` is read from.
        """
        if at == self._at:
            return
        self._at = at
        self._scheduler.remove_all_jobs()
        if at is not None:
            self._scheduler.add_job(self._rings, DateTrigger(utc_now() + (at - now), UTC), misfire_grace_time=None)

    def _rings(self) -> None:
        self._at = None
        self._ring()

    def wake(self) -> None:
        """Compare with the wall clock now: it may have been set, or the machine slept."""
        self._scheduler.wakeup()
