"""Streams of shards (Kinesis, Pulsar) against the inbox: any record below a position that is in no batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from triggers.base import Binding
from triggers.continuous import Found, Mark, Shard, Source
from triggers.continuous.shards import StreamBatches
from triggers.errors import RecordsGone
from triggers.event import Event, event_key
from triggers.ranges import ShardRange, range_of_event
from triggers.reconcile.reconciled import REMOVED, Ground, Reconciled

# Of each shard, the newest records below its position that are in batches.
MOST_RECORDS = 20_000
_AHEAD = 1_000
# Kinesis may answer with nothing where there is something.
_LOOKS = 4


@dataclass(frozen=True, slots=True)
class _Stream:
    """A stream that answered, and what the inbox has of it."""

    binding: Binding
    source: Source
    scope: str

    @property
    def events(self) -> str:
        """The source of its events."""
        trigger: StreamBatches = self.binding.trigger
        return f"{trigger.family}:{self.source.account}/{trigger.stream}"


async def shards(binding: Binding, ground: Ground) -> Reconciled:
    """Every record from the first batch of that time up to the position is in a batch, or dead by itself."""
    found = Reconciled()
    trigger: StreamBatches = binding.trigger
    source = await trigger.connect()
    try:
        stream = _Stream(binding, source, f"{trigger.kind}:{source.account}:{binding.name}")
        marks = {name: Mark.of(at) for name, at in (await ground.inbox.positions(stream.scope)).items()}
        there = await source.shards()
        batches = _batches(await ground.known.events(stream.events, ground.after, ground.until), binding)
        for name in sorted(set(marks) - {shard.name for shard in there}):
            _gone(name, marks[name], found)
        for shard in there:
            spans = batches.get(shard.name, ())
            found.checked += len(spans)
            await _shard(stream, ground, shard, marks.get(shard.name), spans, found)
    finally:
        await source.close()
    return found


def _batches(events: Sequence[Event], binding: Binding) -> Mapping[str, Sequence[ShardRange]]:
    """The batches of a binding by shard, in the order they were accepted."""
    found: dict[str, list[ShardRange]] = {}
    for event in events:
        if event.id.startswith(f"{binding.name}:") and event.type.endswith(".batch"):
            span = range_of_event(event)
            if isinstance(span, ShardRange):
                found.setdefault(span.shard, []).append(span)
    return found


def _gone(name: str, mark: Mark, found: Reconciled) -> None:
    if mark.ended:
        found.notes.append(f"{name}: read to its end, and gone since")
    else:
        found.lack(f"shard {name}", f"the stream has it no more; the inbox stands at {mark.token}")


async def _shard(
    stream: _Stream, ground: Ground, shard: Shard, mark: Mark | None, spans: Sequence[ShardRange], found: Reconciled
) -> None:
    if mark is None:
        found.notes.append(f"{shard.name}: not read yet, {await _waiting(stream, shard)}")
        return
    newest = _newest(spans)
    if newest:
        await _compare(stream, ground, newest, mark, found)
    if mark.ended:
        found.notes.append(f"{shard.name}: read to its end")
        return
    reader = await stream.source.open(shard.name, mark.token)
    try:
        ahead = len((await reader.page(_AHEAD)).records)
    finally:
        await reader.close()
    lag = f"{_AHEAD} or more" if ahead >= _AHEAD else str(ahead)
    found.notes.append(f"{shard.name}: at {mark.token}, lag {lag}")


async def _waiting(stream: _Stream, shard: Shard) -> str:
    """How many records a shard has that nobody has read, from where it will be begun."""
    trigger: StreamBatches = stream.binding.trigger
    reader = await stream.source.open(shard.name, await stream.source.begin(shard, trigger.start))
    try:
        for _ in range(_LOOKS):
            page = await reader.page(_AHEAD)
            if page.records or page.ended:
                break
    finally:
        await reader.close()
    count = len(page.records)
    if count >= _AHEAD:
        return f"{_AHEAD} records or more wait"
    return "1 record waits" if count == 1 else f"{count} records wait"


def _newest(spans: Sequence[ShardRange]) -> list[ShardRange]:
    """As many of the newest batches as hold no more records than are read again."""
    chosen: list[ShardRange] = []
    records = 0
    for span in reversed(spans):
        records += span.count
        if chosen and records > MOST_RECORDS:
            break
        chosen.append(span)
    return chosen[::-1]


async def _compare(stream: _Stream, ground: Ground, spans: Sequence[ShardRange], mark: Mark, found: Reconciled) -> None:
    first, count = spans[0], sum(span.count for span in spans)
    trigger: StreamBatches = stream.binding.trigger
    whole = ShardRange(
        trigger.kind, first.account, trigger.stream, first.shard, first.first, mark.token, min(count, MOST_RECORDS)
    )
    try:
        records = await stream.source.again(whole)
    except RecordsGone as error:
        found.notes.append(f"{first.shard}: cannot be compared: {error}")
        return
    missing = _uncovered(records, spans)
    dead = await ground.known.keys([event_key(stream.events, f"{first.shard}/{one.place}") for one in missing])
    for one in missing:
        if event_key(stream.events, f"{first.shard}/{one.place}") in dead:
            continue
        what = f"record {one.place} of {first.stream}/{first.shard}"
        if one.timestamp >= 0 and ground.may_be_removed(
            datetime.fromtimestamp(one.timestamp / 1000, ground.now.tzinfo)
        ):
            found.lack(what, f"in no batch: {REMOVED}", expected=True)
        else:
            found.lack(what, "in no batch, though the position is past it: was a batch removed, or the position moved?")


def _may_be_removed(ground: Ground, record: Found) -> bool:
    written_at = datetime.fromtimestamp(max(record.timestamp, 0) / 1000, ground.now.tzinfo)
    return ground.may_be_removed(written_at)


def _uncovered(records: Sequence[Found], spans: Sequence[ShardRange]) -> list[Found]:
    """The records that lie in none of these batches. Batches of several keys lie over each other."""
    begins: dict[str, list[str]] = {}
    for span in spans:
        begins.setdefault(span.first, []).append(span.last)
    within: list[str] = []
    missing = []
    for one in records:
        within += begins.pop(one.place, [])
        if not within:
            missing.append(one)
        within = [last for last in within if last != one.place]
    return missing
