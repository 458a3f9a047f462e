"""Streams to read in micro-batches, each behind the same few verbs: what the contract of `MicroBatches` is run over."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from logging import getLogger
from typing import Any, Protocol
from urllib.request import Request, urlopen

from aiobotocore.session import get_session

from tests.broker.seam import access_to, produce
from tests.fault.storm import free_port
from triggers import KafkaBatches
from triggers.base import KafkaAccess, Record
from triggers.continuous.kinesis import KinesisBatches
from triggers.continuous.pulsar import PulsarBatches
from triggers.kafka.range_reader import RangeReader
from triggers.micro_batches import MicroBatches
from triggers.ranges import AnyRange
from triggers.readers import AnyReader


class Stream(Protocol):
    """A stream with one shard at first, nothing in it, and nobody who has read it."""

    access: KafkaAccess | None

    def trigger(self, **settings: Any) -> MicroBatches:
        """A trigger on it."""

    async def write(self, values: Sequence[bytes]) -> None:
        """Write records, keys `k0`, `k1`, `k2`, `k0` ... by their place in what was ever written."""

    async def read(self, trigger: MicroBatches, span: AnyRange) -> Sequence[Record]:
        """Read a span again, from the stream itself."""

    async def lose(self) -> None:
        """The records are gone."""


class KafkaStream:
    """One topic of the embedded broker."""

    def __init__(self, servers: str, topic: str) -> None:
        self.access = access_to(servers)
        self._servers, self._topic = servers, topic
        self._written = 0

    def trigger(self, **settings: Any) -> MicroBatches:
        return KafkaBatches(self._topic, **settings)

    async def write(self, values: Sequence[bytes]) -> None:
        for value in values:
            await produce(self._servers, self._topic, [value], key=b"k%d" % (self._written % 3))
            self._written += 1

    async def read(self, trigger: MicroBatches, span: AnyRange) -> Sequence[Record]:
        reader = RangeReader(self.access)
        try:
            return await reader.read(span)
        finally:
            await reader.close()

    async def lose(self) -> None:
        from tests.broker.seam import recreate_topic

        await recreate_topic(self._servers, self._topic)


class KinesisStream:
    """One stream of a server that speaks the protocol of Kinesis."""

    access = None

    def __init__(self, client: Any, endpoint: str, name: str) -> None:
        self.client, self.name = client, name
        self._endpoint = endpoint
        self._written = 0

    def trigger(self, **settings: Any) -> MicroBatches:
        quick = {"standby_s": 0.5, "look_s": 0.3, **settings}
        return KinesisBatches(self.name, region="us-east-1", endpoint=self._endpoint, **quick)

    async def write(self, values: Sequence[bytes]) -> None:
        for value in values:
            key = f"k{self._written % 3}"
            await self.client.put_record(StreamName=self.name, Data=value, PartitionKey=key)
            self._written += 1

    async def read(self, trigger: Any, span: AnyRange) -> Sequence[Record]:
        return await AnyReader(None, [trigger]).read(span)

    async def lose(self) -> None:
        await self.client.delete_stream(StreamName=self.name)
        await self.make()

    async def make(self) -> None:
        """Make it, with one shard."""
        await self.client.create_stream(StreamName=self.name, ShardCount=1)


class PulsarStream:
    """One topic of a broker that is there already (`TEST_PULSAR` and, for its administration, `TEST_PULSAR_ADMIN`)."""

    access = None

    def __init__(self, service: str) -> None:
        self._service, self._name = service, f"t-{uuid.uuid4().hex[:8]}"
        self._written = 0

    def trigger(self, **settings: Any) -> MicroBatches:
        quick = {"standby_s": 0.5, "look_s": 0.3, **settings}
        return PulsarBatches(self._name, service=self._service, **quick)

    async def write(self, values: Sequence[bytes]) -> None:
        await asyncio.to_thread(self._write, values)

    def _write(self, values: Sequence[bytes]) -> None:
        import pulsar

        client = pulsar.Client(self._service, logger=getLogger("pulsar"))
        producer = client.create_producer(self._name)
        for value in values:
            producer.send(value, partition_key=f"k{self._written % 3}")
            self._written += 1
        client.close()

    async def read(self, trigger: Any, span: AnyRange) -> Sequence[Record]:
        return await AnyReader(None, [trigger]).read(span)

    async def lose(self) -> None:
        place = f"/admin/v2/persistent/public/default/{self._name}?force=true"
        request = Request(os.environ["TEST_PULSAR_ADMIN"] + place, method="DELETE")
        await asyncio.to_thread(urlopen, request)
        await self.write([b"{}"])


@asynccontextmanager
async def kinesis_server() -> AsyncIterator[str]:
    """The address of a server of its own."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **CREDENTIALS},
    )
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    writer.close()
                    break
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@asynccontextmanager
async def kinesis_stream() -> AsyncIterator[KinesisStream]:
    """A stream of its own on a server of its own."""
    async with AsyncExitStack() as stack:
        endpoint = await stack.enter_async_context(kinesis_server())
        making = get_session().create_client("kinesis", region_name="us-east-1", endpoint_url=endpoint)
        stream = KinesisStream(await stack.enter_async_context(making), endpoint, f"s-{uuid.uuid4().hex[:8]}")
        await stream.make()
        yield stream
