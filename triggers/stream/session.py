"""Folds a stream's records into windows, and makes events of those that close, each exactly once.

The windows of a partition, and how far they were folded, belong to the `Cursor` under which its records were read.
What closes goes to the inbox in one transaction with the partition's next `Mark`, moved by compare-and-set: so a
record is in one window's event and no other, whatever Faust does with it. After a crash, reading begins where the mark
says: at `next` where Faust's table holds all the rows that the mark counts, else at `floor`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from aiokafka import ConsumerRecord, TopicPartition

from triggers.base import Arrival, Binding, Clock, Fate, Offer
from triggers.errors import SourceUnavailable
from triggers.kafka.group import Cursor, GroupReader
from triggers.kafka.records import source_of
from triggers.match import offer
from triggers.stream import StreamFeatures
from triggers.stream.driver import RunMessage
from triggers.stream.event import RecordEyes, Unreadable, WindowEvents, utc
from triggers.stream.host import StreamHost
from triggers.stream.windows import Cut, Mark, Shape, Windows, believable

logger = logging.getLogger(__name__)

_MOST_SEALED_ROWS = 20_000
_MOST_TOLD_ASIDE = 100
_LOOK_EVERY_S = 5.0
_LOOK_EVERY_EMBEDDED_S = 1.0


@dataclass(slots=True)
class _Share:
    """One partition as long as it is ours: `read` is the last offset folded under `cursor`, `at_s` when that was."""

    cursor: Cursor
    windows: Windows
    at_s: float
    read: int = -1
    aside: list[tuple[ConsumerRecord, Fate, str]] = field(default_factory=list)


class StreamSession:
    """One stream of one cluster for as long as both last."""

    def __init__(self, binding: Binding, group: str, reader: GroupReader, clock: Clock) -> None:
        self._trigger: StreamFeatures = binding.trigger
        self._binding = binding
        self._group = group
        self._reader = reader
        self._clock = clock
        self._shape: Shape = binding.trigger.shape()
        self._eyes = RecordEyes(binding.trigger, source_of(reader.cluster, self._trigger.topic), clock.now)
        self._topic_id = reader.topic_ids.get(self._trigger.topic, "")
        self._loop = asyncio.get_running_loop()
        self._shares: dict[Cursor, _Share] = {}
        self._resumed: dict[TopicPartition, Windows] = {}
        self._crowded = asyncio.Event()
        self._room = asyncio.Event()
        self._failure: asyncio.Future[None] = self._loop.create_future()
        self._host: StreamHost | None = None
        self._last_aside = ""
        self.last_seen_at: datetime | None = None

    def note(self) -> str:
        """In words, how many records of the partitions that are ours are in no window; nothing when all are in one."""
        late = sum(share.windows.late for share in self._shares.values())
        unreadable = sum(share.windows.unreadable for share in self._shares.values())
        if not late and not unreadable:
            return ""
        last = f"; the last: {self._last_aside}" if self._last_aside else ""
        return f"records unreadable: {unreadable}, too late: {late}{last}"

    def fail(self, error: BaseException) -> None:
        """End the session with `error`. The first one counts."""
        if not self._failure.done():
            self._failure.set_exception(error)

    async def run(self, host: StreamHost, *, embedded: bool) -> None:
        """Run until cancelled or until something fails. Raises what failed, one of `TROUBLE` where that is outside."""
        self._host = host
        async with asyncio.TaskGroup() as group:
            group.create_task(host.run())
            group.create_task(self._flush_regularly(host))
            group.create_task(self._watch(_LOOK_EVERY_EMBEDDED_S if embedded else _LOOK_EVERY_S))
            await self._failure

    def resume(self, partition: TopicPartition, position: str) -> int:
        """Where to read on: at `next` where Faust's table holds all that was folded, else where open windows begin."""
        mark = Mark.of(position)
        rows = [] if self._host is None else list(self._host.rows(partition.partition))
        ours = [(start_ms, key, row) for start_ms, key, shape, row in rows if shape == self._shape.digest]
        believed = believable(mark, self._shape, [(start_ms, row) for start_ms, _, row in ours])
        windows = Windows(self._shape, mark, mark.next if believed else mark.floor, topic_id=self._topic_id)
        if believed:
            windows.restore(ours)
        self._resumed[partition] = windows
        return windows.reached

    async def fold(self, run: RunMessage) -> None:
        """Fold records that were read together. Waits while too much is closed that nobody has accepted yet."""
        if self._failure.done() or not self._reader.owns(run.cursor):
            return
        share = self._share_of(run.cursor)
        if run.records[-1].offset <= share.read:
            return
        if run.previous != share.read:
            lost = f"{run.topic}/{run.partition}: Faust gave no records between {share.read} and {run.previous}"
            self.fail(SourceUnavailable(f"{lost}: reading them again"))
            return
        share.read, share.at_s = run.records[-1].offset, self._loop.time()
        self.last_seen_at = self._clock.now()
        for record in run.records:
            self._fold_one(share, record)
        while share.windows.sealed_rows > _MOST_SEALED_ROWS and self._reader.owns(run.cursor):
            self._room.clear()
            self._crowded.set()
            await self._room.wait()

    def _fold_one(self, share: _Share, record: ConsumerRecord) -> None:
        windows = share.windows
        try:
            reading = self._eyes.read(record)
        except Unreadable as error:
            if windows.refuse(record.offset):
                self._put_aside(share, record, Fate.DEAD, str(error))
            return
        if not windows.fold(reading):
            reason = f"of {utc(reading.time_ms)}, when its partition had come to {utc(windows.watermark_ms or 0)}"
            self._put_aside(share, record, Fate.LATE, reason)

    def _put_aside(self, share: _Share, record: ConsumerRecord, fate: Fate, reason: str) -> None:
        self._last_aside = f"offset {record.partition}/{record.offset}: {reason}"
        if len(share.aside) < _MOST_TOLD_ASIDE:
            share.aside.append((record, fate, reason))

    def _share_of(self, cursor: Cursor) -> _Share:
        share = self._shares.get(cursor)
        if share is None:
            windows = self._resumed.pop(cursor.partition, None) or self._blank(cursor)
            if cursor.is_anew:
                self._tell_lost(windows)
                windows = self._blank(cursor)
            share = self._shares[cursor] = _Share(cursor, windows, self._loop.time())
            self._drop_strangers(cursor.partition.partition, windows)
        return share

    def _blank(self, cursor: Cursor) -> Windows:
        life = Mark.of(cursor.stored).life + 1 if cursor.is_anew and cursor.stored else 0
        mark = Mark(cursor.offset, cursor.offset, life=life)
        return Windows(self._shape, mark, cursor.offset, topic_id=self._topic_id)

    def _tell_lost(self, windows: Windows) -> None:
        """What was in windows that were open is gone with the topic."""
        if windows.mark.open_records:
            text = "%s: %d records of windows that were open went with the topic and are in no event"
            logger.warning(text, self._binding.name, windows.mark.open_records)

    def _drop_strangers(self, partition: int, windows: Windows) -> None:
        """Rows that are not of these windows must never be taken for theirs."""
        if self._host is not None:
            for start_ms, key, _, _ in self._host.rows(partition):
                if key not in windows.open.get(start_ms, ()):
                    self._host.drop_row(partition, start_ms, key)

    async def _flush_regularly(self, host: StreamHost) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._trigger.flush_every_s):
                    await self._crowded.wait()
            self._crowded.clear()
            cursors = self._reader.cursors()
            self._shares = {cursor: self._share_of(cursor) for cursor in cursors}
            for share in list(self._shares.values()):
                await self._flush(share, host)
            self._room.set()

    async def _flush(self, share: _Share, host: StreamHost) -> None:
        await self._close_idle(share)
        cut = share.windows.cut()
        if cut is None:
            return
        aside, share.aside = share.aside, []
        number = share.cursor.partition.partition
        for start_ms, key in cut.touched:
            host.put_row(number, start_ms, key, self._shape.digest, share.windows.open[start_ms][key])
        await host.flush()
        arrivals = self._arrivals(number, cut, aside)
        if await self._reader.accept(share.cursor, arrivals, cut.mark.next, cut.mark.as_position()):
            for closed in cut.closed:
                for key in closed.rows:
                    host.drop_row(number, closed.start_ms, key)

    def _arrivals(
        self, partition: int, cut: Cut, aside: Sequence[tuple[ConsumerRecord, Fate, str]]
    ) -> Sequence[Arrival]:
        trigger, binding = self._trigger, self._binding
        cluster = self._reader.cluster
        place = (self._group, cluster, trigger.topic, partition)
        maker = WindowEvents(*place, self._shape, trigger.max_rows, cut.mark.life)
        events = [event for closed in cut.closed for event in maker.of_window(closed)]
        told = [Arrival(event, [offer(binding, event)]) for event in events]
        for record, fate, reason in aside:
            event = maker.of_record(record, self._clock.now())
            told.append(Arrival(event, [Offer(binding.pipeline, trigger.name, fate, reason)]))
        return told

    async def _close_idle(self, share: _Share) -> None:
        idle_s, cursor = self._trigger.idle_s, share.cursor
        if idle_s is None or self._loop.time() - share.at_s < idle_s or not share.windows.open:
            return
        # What Faust has in hand is not folded yet, and what the broker has is not read yet.
        if share.windows.reached >= cursor.read and await self._reader.has_all_of(cursor):
            share.windows.close_all()

    async def _watch(self, every_s: float) -> None:
        """While nobody polls (there is no partition for us, or the inbox is full) nobody would see the broker go."""
        while True:
            await self._clock.sleep(every_s)
            await self._reader.check_broker()
