"""`ScheduleClock` keeps every schedule of a daemon: it notices what is due and hands the ticks to the inbox.

Any number of daemons may keep the same schedules: the ticks are the same events, and the inbox knows a repeat.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import TypeVar

from triggers import faults
from triggers.base import Arrival, Binding, Fate, ListenerState, Position, Surroundings, TriggerStatus
from triggers.errors import InboxBusy
from triggers.match import offer
from triggers.missed import Tick
from triggers.schedule import Schedule, rfc3339, tick_event
from triggers.schedule.alarm import Alarm
from triggers.schedule.jitter import judged, rung_at

SCOPE = "schedule"
# How long a set clock or a slept machine may go unnoticed: a timer counts seconds, not what the wall clock does.
RECHECK_S = 15.0

_BATCH = 500
# With this many ticks waiting for the inbox, further ones wait for the policy instead of memory.
_MAX_PENDING = 10_000
_LONG_S = 3_600.0
_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 30.0

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Kept:
    """One binding as the clock keeps it: everything due up to `seen_until` is pending or with the inbox."""

    binding: Binding
    status: TriggerStatus
    seen_until: datetime
    ring_at: datetime | None = None
    pending: deque[Tick] = field(default_factory=deque)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def trigger(self) -> Schedule:
        schedule: Schedule = self.binding.trigger
        return schedule

    def see(self, until: datetime) -> None:
        self.seen_until = until
        due_at = self.trigger.next_after(until)
        self.status.next_due_at = due_at
        self.ring_at = None if due_at is None else rung_at(self.binding, due_at)


class ScheduleClock:
    """The listener of `Cron` and `Every`. The alarm only says when to look; what is due is computed here."""

    def __init__(self, bindings: Sequence[Binding], surroundings: Surroundings) -> None:
        self._inbox = surroundings.inbox
        self._clock = surroundings.clock
        now = self._clock.now()
        self._kept = [_Kept(b, TriggerStatus(b.name, b.trigger.kind), now) for b in bindings]
        self._rung = asyncio.Event()

    def statuses(self) -> Sequence[TriggerStatus]:
        """One for each binding; `last_seen_at` is the due time of the last tick the inbox has."""
        return [kept.status for kept in self._kept]

    async def run(self) -> None:
        """Take up the ticks missed since the stored positions, then keep time until cancelled."""
        await self._begin()
        try:
            with Alarm(self._rung.set) as alarm:
                async with asyncio.TaskGroup() as group:
                    for kept in self._kept:
                        group.create_task(self._deliver(kept))
                    group.create_task(self._listen(alarm))
                    group.create_task(self._recheck(alarm))
        finally:
            self._tell(ListenerState.STOPPED)

    async def _begin(self) -> None:
        """Go on from the stored positions. A new schedule begins now, and that is stored at once."""
        stored = await self._patiently(lambda: self._inbox.positions(SCOPE), self._kept)
        now = self._clock.now()
        for kept in self._kept:
            value = stored.get(kept.binding.name)
            kept.see(now if value is None else datetime.fromisoformat(value))
        new = [_position(kept.binding, now) for kept in self._kept if kept.binding.name not in stored]
        if new:
            await self._patiently(lambda: self._inbox.accept([], new), self._kept)
        self._tell(ListenerState.LISTENING)

    async def _listen(self, alarm: Alarm) -> None:
        while True:
            now = self._clock.now()
            if any(now < kept.seen_until for kept in self._kept):
                self._step_back(now)
            for kept in self._kept:
                await self._notice(kept, now)
            rings = (kept.ring_at for kept in self._kept if kept.ring_at is not None)
            alarm.ring_at(min((at for at in rings if at > now), default=None), now)
            await self._rung.wait()
            self._rung.clear()

    def _step_back(self, now: datetime) -> None:
        """The clock was set back: count from there, so that nothing stays silent. Repeats have the same ids."""
        for kept in self._kept:
            kept.see(min(kept.seen_until, now))

    async def _notice(self, kept: _Kept, now: datetime) -> None:
        """Judge what became due since the last look. Done as time passes, not when the inbox has room."""
        due_at = kept.status.next_due_at
        if due_at is None or due_at > now:
            kept.seen_until = now
        elif kept.ring_at is not None and kept.ring_at <= now and len(kept.pending) < _MAX_PENDING:
            ticks, until = await self._judge(kept, now)
            kept.pending.extend(ticks)
            kept.see(until)
            kept.ready.set()
            # A thousand schedules may be due at midnight: others get their turn in between.
            await asyncio.sleep(0)

    async def _judge(self, kept: _Kept, now: datetime) -> tuple[list[Tick], datetime]:
        if (now - kept.seen_until).total_seconds() > _LONG_S:
            return await asyncio.to_thread(judged, kept.binding, kept.seen_until, now)
        return judged(kept.binding, kept.seen_until, now)

    async def _recheck(self, alarm: Alarm) -> None:
        while True:
            await self._clock.sleep(RECHECK_S)
            alarm.wake()
            self._rung.set()

    async def _deliver(self, kept: _Kept) -> None:
        while True:
            await kept.ready.wait()
            kept.ready.clear()
            while kept.pending:
                await self._hand_over(kept, list(islice(kept.pending, _BATCH)))

    async def _hand_over(self, kept: _Kept, ticks: Sequence[Tick]) -> None:
        arrivals = [_arrival(kept.binding, tick) for tick in ticks]
        position = _position(kept.binding, ticks[-1].due_at)
        await faults.reach("tick.due")
        await self._patiently(lambda: self._inbox.accept(arrivals, [position]), [kept])
        await faults.reach("tick.accepted")
        for _ in ticks:
            kept.pending.popleft()
        kept.status.last_seen_at = ticks[-1].due_at

    async def _patiently(self, call: Callable[[], Awaitable[T]], concerned: Sequence[_Kept]) -> T:
        """The answer of `call`, asked again with growing delays for as long as the inbox is busy."""
        delay_s = _FIRST_DELAY_S
        while True:
            try:
                answer = await call()
            except InboxBusy as busy:
                _tell(concerned, ListenerState.RETRYING, str(busy))
                await self._clock.sleep(max(delay_s, busy.retry_after_s))
                delay_s = min(2 * delay_s, _LONGEST_DELAY_S)
            else:
                _tell(concerned, ListenerState.LISTENING)
                return answer

    def _tell(self, state: ListenerState) -> None:
        _tell(self._kept, state)


def _tell(concerned: Sequence[_Kept], state: ListenerState, note: str = "") -> None:
    for kept in concerned:
        kept.status.state, kept.status.note = state, note


def _position(binding: Binding, instant: datetime) -> Position:
    return Position(SCOPE, binding.name, rfc3339(instant))


def _arrival(binding: Binding, tick: Tick) -> Arrival:
    event = tick_event(binding, tick.due_at)
    made = offer(binding, event)
    if tick.late and made.fate is Fate.RAN:
        made = replace(made, fate=Fate.LATE, reason=tick.late, params=None)
    return Arrival(event, [made])
