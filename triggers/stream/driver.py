"""Faust over clients of ours: what it fetches and where it reads on is decided by a `GroupReader`.

Faust's own driver keeps its consumer in a second thread, reads records of aborted transactions, commits what an agent
failed on, and does not end within a bound while the broker is away. So here Faust has a transport of its own: it asks
us for records, acknowledges and commits nothing, and learns of no trouble: that ends the whole application.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from faust.transport.base import Transport
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import Producer
from faust.types import TP
from faust.types.assignor import PartitionAssignorT
from faust.types.tuples import ConsumerMessage
from yarl import URL

from triggers.base import KafkaAccess
from triggers.kafka.client import TROUBLE, close, newest_offsets, reading_consumer, writing_producer
from triggers.kafka.group import Cursor, Fetched, GroupReader

T = TypeVar("T")

# What Faust's services say is Faust's, also of those that are derived here: its noise is turned down by this name.
faust_logger = logging.getLogger("faust.tidemill")

_POLL_S = 0.5
_RUN_RECORDS = 200
_FLUSH_S = 5.0


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a hosted application is made of. `fail` ends it; `changelog` is the topic of its table, if it has one."""

    access: KafkaAccess
    reader: GroupReader
    topic: str
    changelog: str | None
    fail: Callable[[BaseException], None]


class RunMessage(ConsumerMessage):
    """Some records of one partition that follow each other, as one message of Faust's: it is slow per message.

    `previous` is the offset read before them since `cursor` was placed, -1 for none: so it shows when Faust loses some.
    """

    def __init__(self, cursor: Cursor, previous: int, records: Sequence[ConsumerRecord], generation: int) -> None:
        last, at = records[-1], TP(*cursor.partition)
        super().__init__(
            *at, last.offset, last.timestamp / 1000, 0, None, b"", b"", None, tp=at, generation_id=generation
        )
        self.cursor, self.previous, self.records = cursor, previous, records


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, consumer: _Consumer) -> None:
        self._consumer = consumer

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        await self._consumer.lose()

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        await self._consumer.hold(assigned)


class _Consumer(Consumer):
    """Two clients as one: the group's for the source, and one of no group for the changelog's same partitions."""

    logger = faust_logger

    def __init__(self, transport: StreamTransport, **options: Any) -> None:
        super().__init__(transport, **options)
        self._wiring = transport.wiring
        self._reader = transport.wiring.reader
        self._tail: AIOKafkaConsumer | None = None
        self._assigned: set[TP] = set()
        self._read: dict[TP, tuple[Cursor, int]] = {}

    async def on_start(self) -> None:
        if self._wiring.changelog is not None:
            self._tail = reading_consumer(self._wiring.access)
            await self._tail.start()

    async def on_stop(self) -> None:
        if self._tail is not None:
            await close(self._tail)

    async def lose(self) -> None:
        self._reader.lose()
        self._read.clear()
        self.app.on_rebalance_start()
        await self.on_partitions_revoked(set(self._assigned))

    async def hold(self, partitions: Collection[TopicPartition]) -> None:
        self._reader.hold(partitions)
        numbers = [at.partition for at in partitions]
        self._assigned = {TP(self._wiring.topic, number) for number in numbers}
        if self._tail is not None and self._wiring.changelog is not None:
            self._assigned |= {TP(self._wiring.changelog, number) for number in numbers}
            self._tail.assign([TopicPartition(self._wiring.changelog, number) for number in numbers])
        self.app.consumer_generation_id += 1
        await self.on_partitions_assigned(set(self._assigned), self.app.consumer_generation_id)

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: a full queue makes us wait by itself, and Faust would pause for a second."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Nothing either."""

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Mapping[TP, list[Any]]:
        recovering = [TopicPartition(*at) for at in active_partitions or () if at.topic == self._wiring.changelog]
        if recovering:
            return await self._ours(self._read_changelog(recovering))
        fetched = await self._ours(self._reader.poll(_POLL_S))
        # Faust would pass over what is read again.
        self._read_offset.clear()
        return {TP(*one.cursor.partition): self._runs(one) for one in fetched}

    def _runs(self, fetched: Fetched) -> list[RunMessage]:
        at = TP(*fetched.cursor.partition)
        cursor, previous = self._read.get(at, (None, -1))
        if cursor is not fetched.cursor:
            previous = -1
        runs = []
        for start in range(0, len(fetched.records), _RUN_RECORDS):
            records = fetched.records[start : start + _RUN_RECORDS]
            runs.append(RunMessage(fetched.cursor, previous, records, self.app.consumer_generation_id))
            previous = records[-1].offset
        self._read[at] = (fetched.cursor, previous)
        return runs

    async def _read_changelog(self, partitions: Sequence[TopicPartition]) -> Mapping[TP, list[Any]]:
        await self._reader.check_broker()
        got = await self._client().getmany(*partitions, timeout_ms=int(_POLL_S * 1000))
        return {TP(*at): records for at, records in got.items()}

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if isinstance(record, RunMessage):
            return record
        return ConsumerMessage(
            *(record.topic, record.partition, record.offset, record.timestamp / 1000, record.timestamp_type),
            *(record.headers, record.key, record.value, None),
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _ours(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._wiring.fail(error)
            # Until Faust is stopped.
            await asyncio.Event().wait()
            raise

    def _client(self) -> AIOKafkaConsumer:
        if self._tail is None:
            raise LookupError("there is no changelog to read")
        return self._tail

    async def subscribe(self, topics: Iterable[str]) -> None:
        self._reader.join(_Rebalances(self))

    def assignment(self) -> set[TP]:
        return set(self._assigned)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Nothing: the reader places every partition when it is polled."""
        return {}

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        for at, offset in partitions.items():
            await self._seek(at, offset)

    async def _seek(self, partition: TP, offset: int) -> None:
        if partition.topic == self._wiring.changelog:
            self._client().seek(TopicPartition(*partition), max(0, offset))

    async def position(self, tp: TP) -> int | None:
        return await self._ours(self._client().position(TopicPartition(*tp)))

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        found = await self._ours(self._client().beginning_offsets([TopicPartition(*at) for at in partitions]))
        return {TP(*at): offset for at, offset in found.items()}

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        wanted = [TopicPartition(*at) for at in partitions]
        found = await self._ours(newest_offsets(self._wiring.access, wanted)) if wanted else {}
        return {TP(*at): offset for at, offset in found.items()}

    def highwater(self, tp: TP) -> int:
        return 0

    def topic_partitions(self, topic: str) -> int | None:
        return None

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int | None:
        return partition

    async def create_topic(self, *names: Any, **options: Any) -> None:
        """Nothing: topics are there before Faust is."""

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        return True


class _Producer(Producer):
    """Writes the changelog, and waits for the broker only so long: a changelog that lacks something is not believed."""

    logger = faust_logger
    transport: StreamTransport

    def _new_producer(self, transactional_id: str | None = None) -> AIOKafkaProducer:
        return writing_producer(self.transport.wiring.access)

    async def create_topic(self, *names: Any, **options: Any) -> None:
        """Nothing: topics are there before Faust is."""

    async def flush(self) -> None:
        with contextlib.suppress(*TROUBLE):
            async with asyncio.timeout(_FLUSH_S):
                await super().flush()

    async def on_stop(self) -> None:
        with contextlib.suppress(*TROUBLE):
            async with asyncio.timeout(_FLUSH_S):
                await super().on_stop()


class StreamTransport(Transport):
    """How Faust reaches the broker: through `wiring`."""

    Consumer = _Consumer
    Producer = _Producer
    driver_version = "tidemill"

    def __init__(self, app: Any, wiring: Wiring) -> None:
        super().__init__([URL("kafka://")], app)
        self.wiring = wiring
        # Faust's producer keeps something of its own driver's transport here.
        self._topic_waiters: dict[str, Any] = {}


class FollowsSource(PartitionAssignorT):
    """Whoever has a partition of the source has the same one of the changelog: there is nothing to assign."""

    def __init__(self, app: Any, replicas: int = 0) -> None:
        self.app, self.replicas = app, replicas

    def assigned_actives(self) -> set[TP]:
        """Every partition of ours."""
        return set(self.app.consumer.assignment())

    def assigned_standbys(self) -> set[TP]:
        """None."""
        return set()

    def is_active(self, tp: TP) -> bool:
        """Whether a partition is ours."""
        return tp in self.assigned_actives()

    def is_standby(self, tp: TP) -> bool:
        """Never."""
        return False

    def group_for_topic(self, topic: str) -> int:
        """All are of one group."""
        return 0

    def key_store(self, topic: str, key: bytes) -> URL:
        """Only this process has it."""
        return URL()

    def table_metadata(self, topic: str) -> dict[str, Any]:
        """None is kept."""
        return {}

    def tables_metadata(self) -> dict[str, Any]:
        """None is kept."""
        return {}
