"""The alarm clock: APScheduler, used for one thing only, to ring when something is due.

What is due, and what becomes of it, is never APScheduler's to decide: it has no due times, misfires or job store of
its own here, so it can be early, late or ring too often without a tick being lost or doubled.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType

from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

NextAfter = Callable[[datetime], datetime | None]


class _DueTimes(BaseTrigger):  # type: ignore[misc]
    def __init__(self, next_after: NextAfter) -> None:
        self._next_after = next_after

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime | None:
        """One ring stands for everything due until now, so that a long stall is one ring, not thousands."""
        return self._next_after(now if previous_fire_time is None else max(previous_fire_time, now))


class Alarm:
    """Calls `ring` on the running loop whenever one of the added times is due. A context manager."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        # The debug executor calls `ring` in place: no thread, and no task of which nobody knows.
        self._scheduler = AsyncIOScheduler(timezone=UTC, executors={"default": DebugExecutor()})

    def __enter__(self) -> Alarm:
        self._scheduler.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scheduler.shutdown(wait=False)

    def add(self, name: str, next_after: NextAfter) -> None:
        """Ring at every instant `next_after` names, for as long as it names one."""
        self._scheduler.add_job(
            self._ring, _DueTimes(next_after), id=name, name=name, misfire_grace_time=None, coalesce=False
        )

    def wake(self) -> None:
        """Compare with the wall clock now: it may have been set forward, or the machine slept."""
        self._scheduler.wakeup()

    def recompute(self) -> None:
        """Ask for every next time again: the wall clock was set back."""
        for job in self._scheduler.get_jobs():
            self._scheduler.reschedule_job(job.id, trigger=job.trigger)
