"""How runs go, told on a Kafka topic: one record for each move of a run, keyed by the run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import UnknownTopicOrPartitionError

from service.db.sinks import LogEntry
from service.settings import EventMode
from service.sinks.base import Delivered, Facts, SinkTrouble
from service.sinks.lifecycle import told_of
from triggers.base import KafkaAccess
from triggers.cloudevents_out import binary_kafka, structured_kafka
from triggers.event import Event
from triggers.kafka.client import MISSING, TROUBLE, BrokerLink, create_topics, trouble_note, writing_producer

SEND_S = 20.0
CLOSE_S = 3.0


class KafkaEvents:
    """Writes with `acks=all` and waits for each page; records of one run stay in order, in one partition."""

    name = "lifecycle:kafka"

    def __init__(self, installation: str, access: KafkaAccess, topic: str, mode: EventMode) -> None:
        self._installation = installation
        self._access = access
        self._topic = topic
        self._write = structured_kafka if mode is EventMode.STRUCTURED else binary_kafka
        self._producer: AIOKafkaProducer | None = None

    async def deliver(self, entries: Sequence[LogEntry], facts: Facts) -> Delivered:
        """See `Sink`."""
        events = [event for _, event in await told_of(self._installation, entries, facts)]
        if not events:
            return Delivered()
        try:
            async with asyncio.timeout(SEND_S):
                producer = await self._open()
                sending = [await self._send(producer, event) for event in events]
                await asyncio.gather(*sending)
        except TROUBLE as error:
            await self.close()
            raise SinkTrouble(f"topic {self._topic}: {trouble_note(self._access, error)}") from error
        return Delivered(len(events))

    async def _send(self, producer: AIOKafkaProducer, event: Event) -> asyncio.Future[object]:
        headers, value = self._write(event)
        key = (event.subject or "").encode()
        sent: asyncio.Future[object] = await producer.send(self._topic, value, key=key, headers=headers)
        return sent

    async def _open(self) -> AIOKafkaProducer:
        if self._producer is None:
            await self._topic_there()
            producer = writing_producer(self._access)
            try:
                await producer.start()
            except BaseException:
                await _stop(producer)
                raise
            self._producer = producer
        return self._producer

    async def _topic_there(self) -> None:
        """Asked first, since a producer waits long for a topic that will not come."""
        link = BrokerLink(self._access)
        await link.open()
        try:
            absent = (await link.look([self._topic])).absent.get(self._topic)
        finally:
            await link.close()
        if absent is None:
            return
        if absent in MISSING and self._access.create_topics:
            await create_topics(self._access, [self._topic])
        else:
            raise UnknownTopicOrPartitionError(f"there is no topic {self._topic!r}: create it")

    async def close(self) -> None:
        """Disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)


async def _stop(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(*TROUBLE):
        async with asyncio.timeout(CLOSE_S):
            await producer.stop()
