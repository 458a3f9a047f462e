"""A member of a consumer group whose positions live in the inbox: Kafka says who reads, the inbox says from where.

A partition that is assigned stays paused until it has been sought to its stored position. From then on a `Cursor`
stands for it; every rebalance ends all cursors, and what an ended cursor has read is never accepted. Should two
members still believe that a partition is theirs, the compare-and-set of its position lets only one of them through.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from math import ceil
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from triggers import faults
from triggers.base import Arrival, ListenerState, Position
from triggers.errors import InboxBusy, PositionMoved, SourceUnavailable
from triggers.kafka.apart import BROKEN, read_apart
from triggers.kafka.client import TROUBLE, BrokerLink, Sight, timing
from triggers.kafka.member import Cursor as Cursor
from triggers.kafka.member import Fetched as Fetched
from triggers.kafka.member import Membership as Membership
from triggers.kafka.member import position_key as position_key
from triggers.kafka.resume import Placed, resumed

logger = logging.getLogger(__name__)

T = TypeVar("T")

_POLL_RECORDS = 50_000
_COMMIT_EVERY_S = 2.0
_COMMIT_S = 1.0


class GroupReader:
    """One consumer of one cluster for as long as both last; `kafka_session` makes the next one."""

    def __init__(self, member: Membership, consumer: AIOKafkaConsumer, link: BrokerLink, sight: Sight) -> None:
        times = timing(member.access)
        self._member = member
        self._consumer = consumer
        self._link = link
        self._topics = sight.partitions.keys()
        self.partitions = sight.partitions
        self.topic_ids = sight.ids
        self._patience_s = (3 * times["session_timeout_ms"] + times["request_timeout_ms"]) / 1000
        self._look_every_s = 1.0 if member.access.embedded else 5.0
        self._loop = asyncio.get_running_loop()
        self._look_at_s = self._polled_at_s = self._commit_at_s = self._loop.time()
        self._assigned = False
        self._cursors: dict[TopicPartition, Cursor] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self.cluster = sight.cluster
        self.scope = f"kafka:{sight.cluster}:{member.group}"

    def join(self, listener: ConsumerRebalanceListener | None = None) -> None:
        """Ask the group for a share of the topics that the broker has. A `listener` passes on `lose` and `hold`."""
        self._consumer.subscribe(list(self._topics), listener=listener or _Rebalances(self))

    async def poll(self, wait_s: float) -> Sequence[Fetched]:
        """What has come since, after at most `wait_s` when nothing has. Raises one of `TROUBLE`: build a new reader.

        Every record returned is known to be of `cluster`: it is asked who answers *after* the records are here, so
        that records of a broker that was replaced in between are not taken for those of the old one.
        """
        await self._place()
        self._forgive_silence()
        try:
            async with asyncio.timeout(wait_s + self._patience_s):
                # Until the group has given us our share there is nothing to wait for longer than a moment.
                timeout_ms = ceil(1000 * (wait_s if self._assigned else min(wait_s, 0.05)))
                got = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=_POLL_RECORDS)
        except OffsetOutOfRangeError as error:
            await self._step_over(error.args[0])
            return ()
        except BROKEN as error:
            got = await self._read_apart(error)
        except TimeoutError:
            raise SourceUnavailable(f"group {self._member.group} gives us no share: joining again") from None
        fetched = [Fetched(self._cursors[at], records) for at, records in got.items() if at in self._cursors]
        for one in fetched:
            one.cursor.read = one.records[-1].offset + 1
        if await self._look({one.cursor.partition.topic for one in fetched}):
            await self._commit()
        return fetched

    async def _read_apart(self, error: BaseException) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        """What the client failed to read. It does not say of which partition: each is read on from where we are."""
        ours = [cursor for at, cursor in self._cursors.items() if not cursor.held and self._is_assigned(at)]
        starts = {cursor.partition: cursor.read for cursor in ours}
        async with asyncio.timeout(self._patience_s):
            return await read_apart(self._consumer, starts, self._member.isolation, error)

    def owns(self, cursor: Cursor) -> bool:
        """Whether what `cursor` has read may still be accepted."""
        return self._cursors.get(cursor.partition) is cursor

    def hold_back(self, cursor: Cursor) -> None:
        """Fetch no more of a partition for now; `poll` brings what is here already, and nothing after that."""
        cursor.held = True
        if self.owns(cursor) and self._is_assigned(cursor.partition):
            self._consumer.pause(cursor.partition)

    def go_on(self, cursor: Cursor) -> None:
        """Fetch on."""
        cursor.held, cursor.answered_at_s = False, self._loop.time()
        if self.owns(cursor) and self._is_assigned(cursor.partition):
            self._consumer.resume(cursor.partition)

    def cursors(self) -> Sequence[Cursor]:
        """Those of the partitions that are ours and placed."""
        return list(self._cursors.values())

    async def has_all_of(self, cursor: Cursor) -> bool:
        """Whether everything the broker has of a partition, as it said last, has been handed out by `poll`."""
        end = self._consumer.highwater(cursor.partition) if self._is_assigned(cursor.partition) else None
        return end is not None and await self._consumer.position(cursor.partition) >= end

    async def check_broker(self) -> None:
        """Ask whether it is the same broker with the same topics still. Raises one of `TROUBLE`."""
        sight = await self._link.look(self._member.starts)
        self._check_cluster(sight)
        if sight.partitions != self.partitions:
            raise SourceUnavailable("topics or partitions were created or deleted: joining again")

    async def partitions_of(self, topic: str) -> frozenset[int]:
        """Which partitions the broker has of any topic. Raises one of `TROUBLE`."""
        return (await self._link.look([topic])).partitions.get(topic, frozenset())

    async def accept(
        self,
        cursor: Cursor,
        arrivals: Sequence[Arrival],
        next_offset: int,
        position: str | None = None,
        beside: Sequence[Position] = (),
    ) -> bool:
        """Accept events and move the partition to `next_offset` in one transaction; while the inbox is busy, wait.

        `position` is what the inbox then holds, if it is more than the offset, `beside` what else it is to hold. False:
        the partition went to somebody else, or the position did. Then nothing was accepted, and what is left of these
        records comes again from the stored position.
        """
        value = str(next_offset) if position is None else position
        move = Position(self.scope, position_key(cursor.partition), value, expect=cursor.stored)
        try:
            await self._patiently(lambda: self._member.inbox.accept(arrivals, positions=[move, *beside]), cursor)
        except PositionMoved:
            logger.info("%s: somebody else moved %s on from %r", self.scope, move.key, cursor.stored)
            self._forget(cursor)
        if not self.owns(cursor):
            return False
        cursor.stored, cursor.offset = move.value, next_offset
        self._uncommitted[cursor.partition] = next_offset
        return True

    def lag(self, topic: str) -> int | None:
        """How many offsets of our partitions of `topic` are not accepted yet; None where the broker has not said."""
        ours = [cursor for at, cursor in self._cursors.items() if at.topic == topic and self._is_assigned(at)]
        waiting = [(self._consumer.highwater(cursor.partition), cursor.offset) for cursor in ours]
        known = [max(0, end - offset) for end, offset in waiting if end is not None]
        return sum(known) if known else None

    async def leave(self) -> None:
        """Tell Kafka how far we are, if it listens. Its numbers are for people and lag tools only."""
        with contextlib.suppress(*TROUBLE):
            async with asyncio.timeout(_COMMIT_S):
                await self._link.look([next(iter(self._topics))])
            self._commit_at_s = 0.0
            await self._commit()

    def lose(self) -> None:
        """A rebalance has begun: whatever was read until now is void."""
        self._assigned = False
        self._cursors.clear()

    def hold(self, partitions: Collection[TopicPartition]) -> None:
        """Our new share: nothing of it is read before it is placed. Does no I/O, for the group waits for it."""
        self._cursors.clear()
        self._assigned = True
        for partition in partitions:
            self._consumer.pause(partition)
            # Without a position the client would look for one of its own.
            self._consumer.seek(partition, 0)
        self._tell(ListenerState.LISTENING, "")

    async def _patiently(self, ask: Callable[[], Awaitable[T]], cursor: Cursor | None = None) -> T | None:
        """Ask the inbox until it has room. None when `cursor` was lost meanwhile."""
        waited = False
        while cursor is None or self.owns(cursor):
            try:
                answer = await ask()
            except InboxBusy as busy:
                waited = True
                self._tell(ListenerState.RETRYING, f"the inbox takes nothing now, Kafka waits: {busy}")
                await self._member.clock.sleep(busy.retry_after_s)
            else:
                if waited:
                    self._tell(ListenerState.LISTENING, "")
                return answer
        return None

    async def stored(self, scope: str) -> Mapping[str, str]:
        """What the inbox holds of a scope; while it is busy, wait."""
        return await self._patiently(lambda: self._member.inbox.positions(scope)) or {}

    async def store(self, moves: Sequence[Position]) -> bool:
        """Move positions alone; while the inbox is busy, wait. False: somebody else moved one that is guarded."""
        try:
            await self._patiently(lambda: self._member.inbox.accept([], positions=moves))
        except PositionMoved:
            return False
        return True

    async def _place(self) -> None:
        """Seek every partition that has no cursor to where the inbox says, and let it run."""
        homeless = [at for at in self._consumer.assignment() if at not in self._cursors]
        if not homeless:
            return
        stored = await self.stored(self.scope)
        places = self._member.places
        if places is None:
            for partition, placed in (await resumed(self._member, self, homeless, stored)).items():
                if self._is_assigned(partition):
                    self._start(partition, placed)
            return
        for partition, (offset, position) in (await places.begin(self, homeless, stored)).items():
            if self._is_assigned(partition):
                self._start(partition, Placed(offset, position))

    def _start(self, partition: TopicPartition, placed: Placed) -> None:
        offset, now_s = placed.offset, self._loop.time()
        cursor = Cursor(partition, placed.stored, offset, offset, answered_at_s=now_s, is_anew=placed.is_anew)
        self._cursors[partition] = cursor
        self._consumer.seek(partition, offset)
        self._consumer.resume(partition)

    async def oldest(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The first offset that the broker has of each. Raises one of `TROUBLE`."""
        if not partitions:
            return {}
        async with asyncio.timeout(self._patience_s):
            found: Mapping[TopicPartition, int] = await self._consumer.beginning_offsets(list(partitions))
            return found

    async def _step_over(self, positions: Mapping[TopicPartition, int]) -> None:
        """The broker no longer has what comes next: say so, and read on from the oldest record that it has."""
        oldest = await self.oldest(positions)
        # A topic that was made anew is another one: then we join again, and this is no position of it.
        await self._look({partition.topic for partition in positions})
        for partition, offset in oldest.items():
            cursor = self._cursors.get(partition)
            if cursor is None or not self._is_assigned(partition):
                continue
            lost = positions[partition]
            note = f"{position_key(partition)}: the broker has no offset {lost} (any more): reading on at {offset}"
            logger.warning("%s: %s", self.scope, note)
            self._tell(ListenerState.LISTENING, note)
            if offset > lost:
                self._consumer.seek(partition, offset)
            elif self._member.places is not None:
                self._member.places.shrunk(partition)
                self._forget(cursor)
            else:
                # What was read of what is gone must not be mixed with what comes.
                self._start(partition, Placed(offset, cursor.stored, is_anew=True))

    async def _look(self, of_topics: Collection[str]) -> bool:
        """Make sure that the same broker has the same topics, and that every partition moves. False: not asked now.

        What was just read is of the topics that it has after that.
        """
        now = self._loop.time()
        due = now >= self._look_at_s
        if not due and not of_topics:
            return False
        sight = await self._link.look(self._member.starts if due else of_topics)
        self._check_cluster(sight)
        if any(self.topic_ids.get(topic) != topic_id for topic, topic_id in sight.ids.items()):
            raise SourceUnavailable("a topic was created or made anew: joining again")
        if not due:
            return True
        self._look_at_s = now + self._look_every_s
        if sight.partitions != self.partitions:
            raise SourceUnavailable("topics or partitions were created or deleted: joining again")
        await self._step_over(self._check_progress(now))
        return True

    def _check_cluster(self, sight: Sight) -> None:
        if sight.cluster != self.cluster:
            raise SourceUnavailable(f"cluster {self.cluster} was replaced by {sight.cluster}: starting on the new one")

    def _check_progress(self, now_s: float) -> Mapping[TopicPartition, int]:
        """The partitions that are shorter than we have read. Raises `SourceUnavailable` for one that stands still."""
        shrunk = {}
        for partition, cursor in self._cursors.items():
            if cursor.held or not self._is_assigned(partition):
                continue
            answered_ms = self._consumer.last_poll_timestamp(partition)
            if answered_ms != cursor.answered_ms:
                cursor.answered_ms, cursor.answered_at_s = answered_ms, now_s
            elif now_s - cursor.answered_at_s > self._patience_s:
                raise SourceUnavailable(f"the consumer of {position_key(partition)} is stuck: building it anew")
            # The embedded broker is silent about an offset past the end; elsewhere the end may lag after an election.
            end = self._consumer.highwater(partition) if self._member.access.embedded else None
            if end is not None and end < cursor.read:
                shrunk[partition] = cursor.read
        return shrunk

    def _forgive_silence(self) -> None:
        """While nobody polled (the inbox was busy) nothing was fetched either: that is no sign of a stuck consumer."""
        now, before = self._loop.time(), self._polled_at_s
        self._polled_at_s = now
        if now - before > self._look_every_s:
            for cursor in self._cursors.values():
                cursor.answered_at_s = now

    async def _commit(self) -> None:
        """Only of a broker that has just answered: a commit that is given up leaves a task behind that complains."""
        if not self._uncommitted or self._loop.time() < self._commit_at_s:
            return
        offsets = {at: offset for at, offset in self._uncommitted.items() if self._is_assigned(at)}
        self._uncommitted.clear()
        self._commit_at_s = self._loop.time() + _COMMIT_EVERY_S
        if not offsets:
            return
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_COMMIT_S):
                await faults.reach("offsets.commit")
                await self._consumer.commit(offsets)
                await faults.reach("offsets.committed")

    def _is_assigned(self, partition: TopicPartition) -> bool:
        return partition in self._consumer.assignment()

    def _forget(self, cursor: Cursor) -> None:
        if self.owns(cursor):
            del self._cursors[cursor.partition]
            if self._is_assigned(cursor.partition):
                self._consumer.pause(cursor.partition)

    def _tell(self, state: ListenerState, note: str) -> None:
        self._member.tell(state, note, self._topics)


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands what the group decides to a reader."""

    def __init__(self, reader: GroupReader) -> None:
        self._reader = reader

    def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        self._reader.lose()

    def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._reader.hold(assigned)
