"""Which events the records of a closed micro-batch are, whatever stream they come from. Pure."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from triggers.base import Arrival, Binding, Fate, Offer
from triggers.event import Event
from triggers.kafka.batch_values import Held, Times, split, times_of, why_bad
from triggers.match import offer
from triggers.micro_batches import MicroBatches
from triggers.ranges import AnyRange

R = TypeVar("R", bound=Held)

logger = logging.getLogger(__name__)

_LONGEST_KEY = 100


@dataclass(frozen=True, slots=True)
class Closed(Generic[R]):
    """Records of one partition that are a batch, or that part of one which has the same key."""

    records: Sequence[R]
    offsets: AnyRange
    times: Times


def close(
    records: Sequence[R],
    trigger: MicroBatches,
    before: int | None,
    now: datetime,
    range_of: Callable[[Sequence[R]], AnyRange],
) -> Sequence[Closed[R]]:
    """The batches that records closed together are: one, or with `by` one for each key.

    All have the watermark of the whole. `before` is what it was, `range_of` says where records are. Times that are too
    far ahead of `now` are told in the log, and are in no watermark.
    """
    most_ms = (now.timestamp() + trigger.ahead_s) * 1000
    at = (trigger.event_time, trigger.lateness_s, before, most_ms)
    whole = times_of(records, *at)
    if whole.ahead:
        logger.warning("%s: in %s %s", trigger.name, range_of(records), ahead_note(whole, trigger))
    if trigger.by is None:
        return [Closed(records, replace(range_of(records), bad=trigger.bad), whole)]
    closed = []
    for key, ones in split(records, trigger.by).items():
        times = replace(times_of(ones, *at), watermark=whole.watermark)
        closed.append(Closed(ones, replace(range_of(ones), by=trigger.by, key=key, bad=trigger.bad), times))
    return closed


def ahead_note(times: Times, trigger: MicroBatches) -> str:
    """In words, that records came from the future; "" where none did."""
    if not times.ahead:
        return ""
    what = f"the times of {times.ahead} records are more than {trigger.ahead_s:g} s (ahead_s) ahead of the clock here"
    return f"{what}: they are in the batch, but not in its times nor its watermark"


def batch_arrival(binding: Binding, event: Event, shard: str, offsets: AnyRange) -> Arrival:
    """A batch's event as its trigger offers it. `shard` is unique over all that any trigger reads."""
    offered = offer(binding, event)
    if binding.trigger.mode == "ordered":
        offered = replace(offered, sequence=sequence_of(shard, offsets))
    return Arrival(event, [offered])


def sequence_of(shard: str, offsets: AnyRange) -> str:
    """Batches of one partition follow each other; where they are made by key, those of one key do."""
    if offsets.by is None:
        return shard
    key = "" if offsets.key is None else f"={offsets.key}"
    if len(key) > _LONGEST_KEY or not key.isprintable():
        key = "#" + hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{shard} {key}"


def dead_arrivals(records: Sequence[R], binding: Binding, event_of: Callable[[R], Event]) -> Sequence[Arrival]:
    """A dead event for each record that is no row."""
    found = []
    for record in records:
        why = why_bad(record.value)
        if why is not None:
            offers = [Offer(binding.pipeline, binding.trigger.name, Fate.DEAD, why)]
            found.append(Arrival(event_of(record), offers))
    return found


def time_of_batch(times: Times, now: datetime) -> datetime:
    """When a batch happened: when the latest of its records did."""
    if times.last is None:
        return now
    return datetime.fromtimestamp(times.last / 1000, now.tzinfo)
