"""Comparing what a source has with what the inbox has of it: nothing that happened is missed, or it is said what is.

Each kind of trigger registers its own comparison; a kind that registers none says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import singledispatch
from itertools import islice

from triggers.base import Arrival, Binding, Fate, Trigger
from triggers.continuous.shards import StreamBatches
from triggers.errors import InvalidEvent
from triggers.event import EventKey
from triggers.files import Files
from triggers.kafka import KafkaArrivals, KafkaBatches
from triggers.match import offer
from triggers.missed import Tick, judge
from triggers.objects import Objects
from triggers.reconcile.reconciled import REMOVED, Ground, Reconciled
from triggers.schedule import Schedule, due_times, rfc3339, tick_event
from triggers.stream import StreamFeatures

MOST_TICKS = 20_000
# What is so new is still on its way.
GRACE_S = 60.0
_STANDS_FOR = re.compile(r"stands for every tick due from (\S+) to (\S+)")


@singledispatch
async def reconcile(trigger: Trigger, binding: Binding, ground: Ground) -> Reconciled:
    """Compare one binding's source with the inbox. Reads only. Raises `SourceUnavailable`, `InvalidEvent`."""
    return Reconciled(notes=["nothing to compare with: its source keeps no list that can be read from here"])


@reconcile.register
async def _schedule(trigger: Schedule, binding: Binding, ground: Ground) -> Reconciled:
    """Every tick that was due has an event, be its fate `late`."""
    until = min(ground.until, ground.now)
    due = list(islice(due_times(trigger, ground.after, until), MOST_TICKS + 1))
    if len(due) > MOST_TICKS:
        raise InvalidEvent(f"{binding.name}: more than {MOST_TICKS} ticks are due in that time: ask for less of it")
    keys = [tick_event(binding, instant).key for instant in due]
    known = await ground.known.keys(keys)
    found = Reconciled(checked=len(due))
    missing = [instant for instant, key in zip(due, keys, strict=True) if key not in known]
    if missing:
        began = await ground.known.began(binding)
        seen = (await ground.inbox.positions("schedule")).get(binding.name)
        spans = await _spans(ground, binding, [key for key in keys if key in known])
        late = {tick.due_at: tick.late for tick in judge(missing, ground.now, trigger.policy)}
        for instant in missing:
            expected, why = _why_no_tick(instant, ground.now - trigger.longest_delay, began, seen, spans)
            if not expected and _went_past(instant, seen) and ground.may_be_removed(instant):
                expected, why = True, REMOVED
            arrival = None if expected else _tick_arrival(binding, Tick(instant, late.get(instant, _surplus(late))))
            found.lack(f"tick {rfc3339(instant)}", why, arrival, expected=expected)
    return found


def _surplus(late: dict[datetime, str]) -> str:
    return next(iter(late.values()), "")


async def _spans(ground: Ground, binding: Binding, known: Sequence[EventKey]) -> list[tuple[datetime, datetime]]:
    """The times for which one recorded tick stands."""
    reasons = await ground.known.reasons(known, binding.pipeline)
    found = [span for reason in reasons.values() if (span := _STANDS_FOR.search(reason))]
    return [(datetime.fromisoformat(one[1]), datetime.fromisoformat(one[2])) for one in found]


def _why_no_tick(
    due: datetime, now: datetime, began: datetime | None, seen: str | None, spans: Sequence[tuple[datetime, datetime]]
) -> tuple[bool, str]:
    """Whether that is as it should be, and why."""
    if (began is not None and due <= began) or (began is None and seen is None):
        return True, "before this trigger was loaded for the first time"
    if any(first <= due <= last for first, last in spans):
        return True, "a later tick is recorded for all of that time"
    if now - due < timedelta(seconds=GRACE_S):
        return True, "due just now: still on its way"
    if not _went_past(due, seen):
        at = "never" if seen is None else f"only until {seen}"
        return False, f"the clock of this schedule was kept {at}: does a daemon with the role triggers live?"
    return False, f"the clock of this schedule went past it (it was kept until {seen}): was its event removed?"


def _went_past(due: datetime, seen: str | None) -> bool:
    return seen is not None and due <= datetime.fromisoformat(seen)


def _tick_arrival(binding: Binding, tick: Tick) -> Arrival:
    """As the clock would hand it over: one that is missed for too long is recorded as late."""
    event = tick_event(binding, tick.due_at)
    made = offer(binding, event)
    if tick.late and made.fate is Fate.RAN:
        made = replace(made, fate=Fate.LATE, reason=tick.late, params=None)
    return Arrival(event, [made])


@reconcile.register
async def _files(trigger: Files, binding: Binding, ground: Ground) -> Reconciled:
    from triggers.reconcile.files import files

    return await files(binding, ground)


@reconcile.register
async def _objects(trigger: Objects, binding: Binding, ground: Ground) -> Reconciled:
    from triggers.reconcile.objects import objects

    return await objects(binding, ground)


@reconcile.register
async def _arrivals(trigger: KafkaArrivals, binding: Binding, ground: Ground) -> Reconciled:
    from triggers.reconcile.kafka import arrivals

    return await arrivals(binding, ground)


@reconcile.register
async def _shards(trigger: StreamBatches, binding: Binding, ground: Ground) -> Reconciled:
    from triggers.reconcile.shards import shards

    return await shards(binding, ground)


@reconcile.register
async def _features(trigger: StreamFeatures, binding: Binding, ground: Ground) -> Reconciled:
    from triggers.reconcile.streams import features

    return await features(binding, ground)


@reconcile.register
async def _batches(trigger: KafkaBatches, binding: Binding, ground: Ground) -> Reconciled:
    from triggers.reconcile.kafka import batches

    return await batches(binding, ground)
