"""Streaming features against the inbox: any record of a window that has closed, in no event of that window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import ConsumerRecord

from triggers.base import Binding
from triggers.event import Event, event_key
from triggers.kafka.records import source_of
from triggers.reconcile.kafka import MOST_RECORDS, Part, may_be_removed, opened, parts_of
from triggers.reconcile.reconciled import REMOVED, Ground, Reconciled
from triggers.stream.event import FEATURES_TYPE, RecordEyes, Unreadable
from triggers.stream.event import utc as utc_of
from triggers.stream.windows import Mark, Shape


@dataclass(slots=True)
class _Partition:
    """One partition as the inbox has it: the offsets each window's events hold, by where the window begins."""

    mark: Mark
    windows: Mapping[str, tuple[int, int]]
    watermark_ms: int | None = None


async def features(binding: Binding, ground: Ground) -> Reconciled:
    """Every record of a window that closed in that time is in its event, or was too late, or could not be read.

    Windows are judged that began after the first one that was accepted in that time.
    """
    found = Reconciled()
    trigger = binding.trigger
    async with opened(ground, trigger.topic) as broker:
        group = f"{broker.access.group_prefix}.stream.{binding.name}"
        stored = await ground.inbox.positions(f"kafka:{broker.sight.cluster}:{group}")
        marks = {key: Mark.of(position) for key, position in stored.items()}
        source = source_of(broker.sight.cluster, trigger.topic)
        events = await ground.known.events(source, ground.after, ground.until)
        eyes = RecordEyes(trigger, source, lambda: ground.now)
        offsets = {key: str(mark.next) for key, mark in marks.items()}
        for part in await parts_of(broker, trigger.topic, offsets, found):
            mark = marks.get(f"{trigger.topic}/{part.at.partition}")
            if mark is None:
                continue
            _told(part, mark, found)
            windows = _windows(events, f"{group}:{part.at.partition}/", mark.life)
            found.checked += len(windows)
            if not windows:
                continue
            state = _Partition(mark, windows)
            first = max(part.oldest, mark.next - MOST_RECORDS, min(low for low, _ in windows.values()))
            missing: list[ConsumerRecord] = []
            async for records in broker.read(part.at, first, min(mark.next, part.end)):
                missing += [one for one in records if _is_missing(one, state, eyes, trigger.shape())]
            await _tell(binding, ground, source, f"{group}:{part.at.partition}/", state, missing, found)
    return found


def _told(part: Part, mark: Mark, found: Reconciled) -> None:
    name = f"{part.at.topic}/{part.at.partition}"
    found.notes.append(
        f"{name}: {mark.open_records} records in windows that are open, {mark.late} were too late, "
        f"{mark.unreadable} could not be read"
    )


def _windows(events: Sequence[Event], begins: str, life: int) -> Mapping[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for event in events:
        again = int(event.id.rpartition("~")[2]) if "~" in event.id.rpartition("/")[2] else 0
        if event.type == FEATURES_TYPE and event.id.startswith(begins) and again == life:
            offsets = event.data["offsets"]
            low, high = found.get(event.data["window_start"], (offsets["first"], offsets["last"]))
            found[event.data["window_start"]] = min(low, offsets["first"]), max(high, offsets["last"])
    return found


def _is_missing(record: ConsumerRecord, state: _Partition, eyes: RecordEyes, shape: Shape) -> bool:
    try:
        time_ms = eyes.read(record).time_ms
    except Unreadable:
        return False
    start_ms = shape.start_of(time_ms)
    late = shape.is_closed(start_ms, state.watermark_ms)
    state.watermark_ms = max(time_ms, state.watermark_ms or time_ms)
    start = utc_of(start_ms)
    if late or not shape.is_closed(start_ms, state.mark.watermark_ms) or start <= min(state.windows):
        return False
    low, high = state.windows.get(start, (0, -1))
    return not low <= record.offset <= high


async def _tell(
    binding: Binding,
    ground: Ground,
    source: str,
    begins: str,
    state: _Partition,
    missing: Sequence[ConsumerRecord],
    found: Reconciled,
) -> None:
    again = f"~{state.mark.life}" if state.mark.life else ""
    keys = {one.offset: event_key(source, f"{begins}{one.offset}{again}") for one in missing}
    aside = await ground.known.keys(list(keys.values()))
    for one in missing:
        if keys[one.offset] in aside:
            continue
        what = f"record {one.offset} of {one.topic}/{one.partition}"
        if may_be_removed(ground, one):
            found.lack(what, f"in no event of its window: {REMOVED}", expected=True)
        else:
            found.lack(what, "in no event of its window, which has closed: was that removed, or the position moved?")
