"""Jitter: when a tick is handed on, up to so much later than it is due. Pure.

The span follows from the tick's id, so every daemon waits equally long for it, also after a restart. Ticks of one
schedule stay in order: one whose span is over waits for those due before it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from triggers.base import Binding
from triggers.event import event_key
from triggers.missed import Tick, judge
from triggers.schedule import Schedule, newest_due, rfc3339, tick_source


def rung_at(binding: Binding, due_at: datetime) -> datetime:
    """When a tick is handed on, the same on every daemon and every time."""
    longest: timedelta = binding.trigger.longest_delay
    if not longest:
        return due_at
    return due_at + longest * (event_key(tick_source(binding), rfc3339(due_at)).int / 2**128)


def judged(binding: Binding, after: datetime, now: datetime) -> tuple[list[Tick], datetime]:
    """The ticks due later than `after` that are to be handed on by `now`, and until when they are all of them.

    How late one is counts from when it was to be handed on.
    """
    trigger: Schedule = binding.trigger
    until = max(after, now - trigger.longest_delay)
    due = newest_due(trigger, after, until, trigger.policy.reach)
    following = trigger.next_after(until)
    while trigger.longest_delay and following is not None and rung_at(binding, following) <= now:
        due.append(following)
        until, following = following, trigger.next_after(following)
    ticks = judge([rung_at(binding, one) for one in due], now, trigger.policy, first=trigger.next_after(after))
    kept = due[len(due) - len(ticks) :]
    return [replace(tick, due_at=one) for tick, one in zip(ticks, kept, strict=True)], until
