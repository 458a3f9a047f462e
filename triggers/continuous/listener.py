"""Listens to micro-batches of a stream of shards: one loop for each shard that may be read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from triggers.base import (
    Arrival,
    Binding,
    ListenerState,
    Position,
    Surroundings,
    TriggerStatus,
)
from triggers.continuous import Found, Mark, Shard, Source, as_records
from triggers.continuous.shards import StreamBatches
from triggers.errors import InboxBusy, InvalidTrigger, PositionMoved, SourceUnavailable
from triggers.event import Event
from triggers.kafka.batch_events import Closed, batch_arrival, close, dead_arrivals, time_of_batch
from triggers.ranges import ShardRange

logger = logging.getLogger(__name__)

_LONGEST_PAUSE_S = 10.0


class StreamsListener:
    """Serves each binding by readers of its own."""

    def __init__(self, bindings: Sequence[Binding], surroundings: Surroundings) -> None:
        self._followers = [Follower(binding, surroundings) for binding in bindings]

    async def run(self) -> None:
        """Listen until cancelled."""
        async with asyncio.TaskGroup() as group:
            for follower in self._followers:
                group.create_task(follower.run())

    def statuses(self) -> Sequence[TriggerStatus]:
        """One for each binding."""
        return [follower.status for follower in self._followers]


class Follower:
    """Reads the stream of one binding: every shard whose parents have been read."""

    def __init__(self, binding: Binding, surroundings: Surroundings) -> None:
        self.binding = binding
        self.trigger: StreamBatches = binding.trigger
        self.surroundings = surroundings
        self.status = TriggerStatus(binding.name, binding.trigger.kind)
        self.scope = ""

    async def run(self) -> None:
        failures = 0
        while True:
            try:
                source = await self.trigger.connect()
                try:
                    await self._follow(source)
                finally:
                    await source.close()
                failures = 0
            except* (SourceUnavailable, InboxBusy, InvalidTrigger) as errors:
                failures += 1
                note = str(_first(errors))
                logger.warning("%s: %s", self.binding.name, note)
                self.tell(ListenerState.RETRYING, note)
            if failures:
                pause_s = min(_LONGEST_PAUSE_S, 0.1 * 2.0 ** min(failures, 16))
                await self.surroundings.clock.sleep(random.uniform(0.5, 1.0) * pause_s)

    def tell(self, state: ListenerState, note: str = "") -> None:
        """For people."""
        self.status.state, self.status.note = state, note

    async def _follow(self, source: Source) -> None:
        """Read every shard that may be read; look for more of them now and then, and whenever one has ended."""
        self.scope = f"{self.trigger.kind}:{source.account}:{self.binding.name}"
        loops: dict[str, asyncio.Task[None]] = {}
        ended = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            while True:
                ended.clear()
                shards = await source.shards()
                stored = await self.surroundings.inbox.positions(self.scope)
                marks = {name: Mark.of(position) for name, position in stored.items()}
                self.tell(ListenerState.LISTENING)
                for one in readable(shards, marks):
                    if one.name not in loops or loops[one.name].done():
                        loops[one.name] = group.create_task(ShardLoop(self, source, one, ended).run())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.trigger.look_s):
                        await ended.wait()


def readable(shards: Sequence[Shard], marks: dict[str, Mark]) -> list[Shard]:
    """The shards that have not ended, and whose parents have, or are there no more."""
    there = {shard.name for shard in shards}
    ended = {name for name, mark in marks.items() if mark.ended}
    return [one for one in shards if one.name not in ended and not (one.parents & there) - ended]


@dataclass(slots=True)
class Gathering:
    """Records on their way into a batch. `due_at_s` is when the first of them has waited enough."""

    records: list[Found] = field(default_factory=list)
    size_bytes: int = 0
    due_at_s: float = 0.0

    def take(self) -> list[Found]:
        """All of them."""
        taken, self.records, self.size_bytes = self.records, [], 0
        return taken


class ShardLoop:
    """Reads one shard on from its position, and accepts what is closed."""

    def __init__(self, follower: Follower, source: Source, shard: Shard, ended: asyncio.Event) -> None:
        self._follower = follower
        self._trigger = follower.trigger
        self._inbox = follower.surroundings.inbox
        self._clock = follower.surroundings.clock
        self._source = source
        self._shard = shard
        self._ended = ended

    async def run(self) -> None:
        """Until the shard has ended. Stands by while somebody else reads it."""
        while True:
            stored = await self._stored()
            if Mark.of(stored).ended:
                self._ended.set()
                return
            try:
                await self._read(stored)
            except PositionMoved:
                await self._stand_by()

    async def _stored(self) -> str:
        return (await self._inbox.positions(self._follower.scope)).get(self._shard.name, "")

    async def _stand_by(self) -> None:
        """Until the position has stood still for as long as a silent daemon is waited for."""
        seen = await self._stored()
        while True:
            await self._clock.sleep(self._trigger.standby_s * random.uniform(1.0, 1.5))
            now = await self._stored()
            if now == seen:
                return
            seen = now

    async def _read(self, stored: str) -> None:
        if not stored:
            stored = await self._begin()
        mark = Mark.of(stored)
        reader = await self._source.open(self._shard.name, mark.token)
        loop, gathered = asyncio.get_running_loop(), Gathering()
        try:
            while True:
                page = await reader.page(self._trigger.max_records)
                for one in page.records:
                    if gathered.records and gathered.size_bytes + one.size_bytes > self._trigger.max_bytes:
                        mark = await self._accept(mark, gathered.take())
                    if not gathered.records:
                        gathered.due_at_s = loop.time() + self._trigger.max_wait_s
                    gathered.records.append(one)
                    gathered.size_bytes += one.size_bytes
                    if len(gathered.records) == self._trigger.max_records:
                        mark = await self._accept(mark, gathered.take())
                if gathered.records and (page.ended or loop.time() >= gathered.due_at_s):
                    mark = await self._accept(mark, gathered.take())
                if page.ended:
                    await self._move(mark, Mark(mark.token, True, mark.watermark_ms), [])
                    return
        finally:
            await reader.close()

    async def _begin(self) -> str:
        """Found anew after a restart the end would have moved, so where reading begins is stored first."""
        token = await self._source.begin(self._shard, self._trigger.start)
        await self._inbox.accept([], [Position(self._follower.scope, self._shard.name, token, expect="")])
        return token

    async def _accept(self, mark: Mark, records: Sequence[Found]) -> Mark:
        """One batch. Raises `PositionMoved`."""
        now = self._clock.now()
        closing = partial(close, records, self._trigger, mark.watermark_ms, now, self._span)
        closed = await asyncio.to_thread(closing) if self._trigger.looks_inside else closing()
        arrivals = [self._arrival(one, now) for one in closed]
        if self._trigger.bad == "dead":
            arrivals = [*dead_arrivals(records, self._follower.binding, partial(self._plain, now)), *arrivals]
        self._follower.status.last_seen_at = now
        self._follower.status.read_until = time_of_batch(closed[-1].times, now)
        reached = Mark(records[-1].place, watermark_ms=closed[-1].times.watermark)
        await self._move(mark, reached, arrivals)
        return reached

    async def _move(self, mark: Mark, reached: Mark, arrivals: Sequence[Arrival]) -> None:
        move = Position(self._follower.scope, self._shard.name, str(reached), expect=str(mark))
        while True:
            try:
                await self._inbox.accept(arrivals, [move])
            except InboxBusy as busy:
                self._follower.tell(ListenerState.RETRYING, f"the inbox takes nothing now, the stream waits: {busy}")
                await self._clock.sleep(busy.retry_after_s)
            else:
                self._follower.tell(ListenerState.LISTENING)
                return

    def _span(self, records: Sequence[Found]) -> ShardRange:
        first, last = records[0].place, records[-1].place
        trigger, shard = self._trigger, self._shard.name
        return ShardRange(trigger.kind, self._source.account, trigger.stream, shard, first, last, len(records))

    def _arrival(self, closed: Closed[Found], now: datetime) -> Arrival:
        span = closed.offsets
        assert isinstance(span, ShardRange)
        if self._follower.surroundings.fetched is not None:
            size_bytes = sum(one.size_bytes for one in closed.records)
            self._follower.surroundings.fetched.keep(span, as_records(span, closed.records), size_bytes)
        event = Event(
            source=self._event_source,
            id=f"{self._follower.binding.name}:{span.shard}/{span.first}-{span.last}",
            type=f"dev.tidemill.{self._trigger.family}.batch",
            time=time_of_batch(closed.times, now),
            subject=f"{span.stream}/{span.shard}",
            data={**span.as_data(), "times": closed.times.as_data()},
            datacontenttype="application/json",
        )
        return batch_arrival(self._follower.binding, event, f"{self._follower.scope} {span.shard}", span)

    @property
    def _event_source(self) -> str:
        return f"{self._trigger.family}:{self._source.account}/{self._trigger.stream}"

    def _plain(self, now: datetime, record: Found) -> Event:
        """A record that is no row, with its bytes."""
        return Event(
            source=self._event_source,
            id=f"{self._shard.name}/{record.place}",
            type=f"dev.tidemill.{self._trigger.family}.record",
            time=now,
            data=record.value,
            datacontenttype="application/octet-stream",
        )


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error
