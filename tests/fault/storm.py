"""Records through micro-batches while daemons and brokers are killed at random, and members come and go."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from service.db.steering import Resume
from tests.db.writing import rows, writing
from tests.fault.daemons import daemon_process

PARTITIONS = 6
# What a run failed of whose daemons died, or the workers of its stage.
BY_DEATHS = [f"%{told.hex()}%" for told in (b"adopted", b"was lost")]
PIPELINES = ("parallel", "ordered")
_PADDING = "x" * 180


def free_port() -> int:
    """One that no client is given for its own end: else, while nobody listens, a client may reach itself."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Proxy:
    """The way to a broker, which can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._closed = False
        self.cuts = 0

    async def start(self, port: int) -> None:
        """Listen at a port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def stop(self) -> None:
        """Close it."""
        self.cut()
        if self._server is not None:
            self._server.close()

    def cut(self) -> None:
        """End every connection in the middle of whatever it carries."""
        self.cuts += 1
        for writer in self._open:
            writer.transport.abort()

    async def cut_for(self, seconds: float) -> None:
        """End every connection and let nobody connect for a while."""
        self._closed = True
        self.cut()
        await asyncio.sleep(seconds)
        self._closed = False

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._closed:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, back}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, back))
                group.create_task(_pass_on(there, writer))
        finally:
            self._open -= {writer, back}


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


async def produce(servers: str, topic: str, count: int, pause_s: float) -> None:
    """Write `count` records over all partitions, 200 bytes each. What the broker did not confirm may be there twice."""
    sent = 0
    while sent < count:
        producer = AIOKafkaProducer(
            bootstrap_servers=servers, linger_ms=20, max_batch_size=256 * 1024, request_timeout_ms=5_000
        )
        try:
            async with asyncio.timeout(10):
                await producer.start()
            while sent < count:
                sent = await _send_some(producer, topic, sent, count)
                await asyncio.sleep(pause_s)
        except (KafkaError, OSError, TimeoutError):
            await asyncio.sleep(0.2)
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(3):
                    await producer.stop()


async def _send_some(producer: AIOKafkaProducer, topic: str, sent: int, count: int) -> int:
    """A bite of records, confirmed."""
    upto = min(count, sent + 12_000)
    waiting = []
    for number in range(sent, upto):
        value = b'{"n": %d, "pad": "%s"}' % (number, _PADDING.encode())
        waiting.append(await producer.send(topic, value, partition=number % PARTITIONS))
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
    return upto


async def sums_of(servers: str, topic: str) -> Mapping[int, Sequence[int]]:
    """Of each partition, what its records add up to before each offset; so it has one number more than records."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        values: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}
        silent = 0
        while silent < 5:
            got = await consumer.getmany(timeout_ms=500)
            silent = 0 if got else silent + 1
            for at, records in got.items():
                assert records[0].offset == len(values[at.partition])
                values[at.partition] += [orjson.loads(one.value)["n"] for one in records]
        return {number: [0, *accumulate(ones)] for number, ones in values.items()}
    finally:
        await consumer.stop()


@dataclass
class Storm:
    """What happens to whom. `trouble` is done to the broker, now and then; `seconds` is how long a daemon lives."""

    dsn: str
    servers: str
    topic: str
    folder: Path
    records: int
    trouble: Callable[[], Awaitable[None]]
    batch: int = 1000
    daemons: int = 3
    lives_s: tuple[float, float] = (3.0, 9.0)
    calm_s: tuple[float, float] = (2.0, 6.0)
    pause_s: float = 0.0
    tells: Callable[[str], None] = lambda line: None
    killed: int = 0
    left: int = 0
    troubled: int = 0
    resumed: int = 0
    quiet: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def diary(self) -> Path:
        """What the ordered runs write down."""
        return self.folder / "diary"

    async def rage(self, limit_s: float) -> None:
        """Until all records are in successful batches of both pipelines."""
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
            for number in range(self.daemons):
                group.create_task(self._member(number))
            group.create_task(self._break())
            group.create_task(self._resume())
            await produce(self.servers, self.topic, self.records, self.pause_s)
            self.tells(f"all records are written; broker troubled {self.troubled} times, daemons killed {self.killed}")
            await self._until_done()
            self.quiet.set()

    async def _member(self, number: int) -> None:
        """One daemon after the other."""
        folder = self.folder / f"daemon-{number}"
        folder.mkdir(exist_ok=True)
        while not self.quiet.is_set():
            # Started while Postgres or the machine has no time for it, one may give up: the next one is tried.
            with contextlib.suppress(TimeoutError, AssertionError):
                await self._life(folder)
            await self._sleep(random.uniform(0, 1.5))

    async def _life(self, folder: Path) -> None:
        """A daemon that is killed, or told to leave, after a while."""
        pipelines = [f"tests.fault.storm_pipelines:{name}" for name in PIPELINES]
        serving = daemon_process(self.dsn, folder, *pipelines, roles="triggers,executor", **self._variables())
        async with serving as process:
            await self._sleep(random.uniform(*self.lives_s))
            if random.random() < 0.7:
                process.kill()
                self.killed += 1
                return
            process.terminate()
            self.left += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 10)

    async def _resume(self) -> None:
        """The person who is asked when a run, or its stage, has lost five daemons: it is resumed."""
        async with writing(self.dsn, lease_s=60.0) as writer:
            while not self.quiet.is_set():
                query = "select id from runs where state = 'failed' and failure::text like any ($1::text[])"
                for row in await rows(self.dsn, query, BY_DEATHS):
                    [done] = await writer.submit(Resume(row["id"], "the person"))
                    self.resumed += done
                await self._sleep(1.0)

    def _variables(self) -> dict[str, str]:
        return {
            "TIDEMILL_KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "TIDEMILL_KAFKA_SESSION_S": "3",
            "TIDEMILL_EXECUTOR_LEASE_S": "3",
            "TIDEMILL_EXECUTOR_DRAIN_S": "1",
            "TIDEMILL_ARTIFACTS": (self.folder / "artifacts").as_uri(),
            "TEST_TOPIC": self.topic,
            "TEST_BATCH": str(self.batch),
            "TEST_DIARY": str(self.diary),
        }

    async def _break(self) -> None:
        await self._sleep(random.uniform(*self.calm_s))
        while not self.quiet.is_set():
            await self.trouble()
            self.troubled += 1
            await self._sleep(random.uniform(*self.calm_s))

    async def _sleep(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.quiet.wait(), seconds)

    async def _until_done(self) -> None:
        while True:
            done = await self._done()
            self.tells(
                f"in successful batches: {done}; killed {self.killed}, left {self.left}, "
                f"broker {self.troubled}, resumed {self.resumed}"
            )
            if all(count >= self.records for count in done.values()):
                # Records whose sending was repeated may still be on their way.
                before, done = done, await self._done_after(3.0)
                if before == done:
                    return
            await asyncio.sleep(1.0)

    async def _done_after(self, seconds: float) -> dict[str, int]:
        await asyncio.sleep(seconds)
        return await self._done()

    async def _done(self) -> dict[str, int]:
        query = """
            select r.pipeline, sum((convert_from(a.output_inline, 'utf8')::json->>'count')::int) as n
            from runs r join attempts a on a.run_id = r.id and a.state = 'succeeded'
            where r.state = 'succeeded' group by 1"""
        found = {row["pipeline"]: row["n"] for row in await rows(self.dsn, query)}
        return {name: found.get(name, 0) for name in PIPELINES}

    async def check(self) -> Mapping[str, int]:
        """Every offset is in exactly one successful batch, which saw its records. The answer is how many batches."""
        sums = await sums_of(self.servers, self.topic)
        batches: dict[str, int] = {}
        assert await rows(self.dsn, "select id, state, failure from runs where state <> 'succeeded'") == []
        for pipeline in PIPELINES:
            query = """
                select a.output_inline from runs r join attempts a on a.run_id = r.id and a.state = 'succeeded'
                where r.pipeline = $1"""
            told = [orjson.loads(row["output_inline"]) for row in await rows(self.dsn, query, pipeline)]
            for number, upto in sums.items():
                mine = sorted((one for one in told if one["partition"] == number), key=lambda one: one["first"])
                _check_partition(mine, upto)
            batches[pipeline] = len(told)
        self._check_order()
        return batches

    def _check_order(self) -> None:
        """No ordered batch began before the one before it had ended, and none began again after that."""
        reached: dict[str, int] = {}
        ended: dict[str, int] = {}
        for line in self.diary.read_text().splitlines():
            what, partition, told = line.split()
            first = int(told)
            if what == "ends":
                ended[partition] = first
                continue
            before = reached.get(partition, -1)
            assert first >= before, line
            assert first == before or before == -1 or ended[partition] == before, line
            reached[partition] = first


def _check_partition(batches: Sequence[Mapping[str, Any]], upto: Sequence[int]) -> None:
    following = 0
    for one in batches:
        assert one["first"] == following, one
        assert one["count"] == one["last"] - one["first"] + 1, one
        assert one["sum"] == upto[one["last"] + 1] - upto[one["first"]], one
        following = one["last"] + 1
    assert following == len(upto) - 1
