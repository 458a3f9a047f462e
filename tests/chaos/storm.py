"""Ten minutes (or as many as are asked for) of everything at once, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from service.db.ledger import audit
from service.db.migrations import migrate
from service.embedded.postgres import EmbeddedPostgres
from tests.broker.seam import RestartableBroker, create_topic
from tests.chaos.effects import SCHEMA, VARIABLE
from tests.chaos.ledger import gather, verdict
from tests.chaos.members import LEASE_S, Member
from tests.chaos.person import Person
from tests.chaos.plan import DAEMONS, Fault, plan
from tests.chaos.sources import ARRIVALS, BATCHES, PARTITIONS, Sources
from tests.fault.storm import Proxy, free_port

# Where the daemons tell how their runs go.
TOLD = "told"
# Everything is done so long after the last fault, or the verdict is that it is not.
SETTLE_S = 180.0
_LOOK_S = 0.5
UNFINISHED = "select count(*) from runs where state <> 'succeeded'"
CLOCK = {"what": "ticked", "by": "the storm", "reason": "it is over"}
# What was read of what nobody acknowledges: records that are events, records in batches, files.
READ = """
    select coalesce(sum(
        case when o.pipeline in ('batched', 'ordered') then (t.data ->> 'count')::int
        when o.pipeline in ('arrived', 'landed') then 1 else 0 end
    ), 0)
    from events e join outcomes o on o.event_key = e.key
    cross join lateral (select convert_from(e.envelope, 'utf8')::json -> 'data' as data) t
"""
Records = Mapping[str, Mapping[int, Sequence[int]]]
CUT = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()"


@dataclass
class Storm:
    """What is there, and what came of it."""

    seed: int
    seconds: float
    folder: Path
    tells: Callable[[str], None] = print
    per_s: float = 4.0
    happened: Counter[str] = field(default_factory=Counter)
    points: set[str] = field(default_factory=set)

    async def rage(self) -> list[str]:
        """Let it rage, wait until everything has settled, and say what is wrong; empty: nothing is."""
        landing = self.folder / "landing"
        landing.mkdir()
        async with _servers(self.folder) as servers:
            members = self._members(servers)
            urls = [member.url for member in members]
            sources = Sources(urls, servers.broker, landing, self.per_s)
            person = Person(servers.dsn, urls)
            async with asyncio.TaskGroup() as tasks:
                lives = [tasks.create_task(member.live()) for member in members]
                asked = tasks.create_task(person.work())
                fed = tasks.create_task(sources.feed())
                await self._break(servers, members)
                sources.end()
                await fed
                records = {topic: await _records(servers.broker, topic) for topic in (ARRIVALS, BATCHES)}
                await _stop_clock(urls)
                wrong = await self._settled(servers, sources, records)
                person.end()
                for member in members:
                    member.end()
                await asyncio.wait([asked, *lives])
            wrong += sources.refused
            wrong += await self._judge(servers, sources, records)
            self._count(servers, members, person, sources)
        return wrong

    def _members(self, servers: Servers) -> list[Member]:
        variables = {
            "TIDEMILL_KAFKA_BOOTSTRAP_SERVERS": servers.broker,
            "TIDEMILL_KAFKA_SESSION_S": "3",
            "TIDEMILL_LOG_LEVEL": "error",
            "TIDEMILL_LIFECYCLE_TOPIC": TOLD,
            "TIDEMILL_EXECUTOR_LEASE_S": f"{LEASE_S:g}",
            "TIDEMILL_EXECUTOR_DRAIN_S": "1",
            "TIDEMILL_ARTIFACTS": (self.folder / "artifacts").as_uri(),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            VARIABLE: servers.effects,
        }
        return [Member(number, servers.dsn, self.folder, free_port(), variables) for number in range(DAEMONS)]

    async def _break(self, servers: Servers, members: Sequence[Member]) -> None:
        began = time.monotonic()
        for fault in plan(self.seed, self.seconds):
            await asyncio.sleep(max(0.0, fault.at_s - (time.monotonic() - began)))
            self.tells(str(fault))
            self.happened[fault.kind] += 1
            await self._do(fault, servers, members)
        await asyncio.sleep(max(0.0, self.seconds - (time.monotonic() - began)))

    async def _do(self, fault: Fault, servers: Servers, members: Sequence[Member]) -> None:
        match fault.kind:
            case "cut database":
                await servers.cut_database()
            case "restart database":
                await servers.restart_database(fault.seconds)
            case "no artifact store":
                await self._without_store(fault.seconds)
            case "cut broker":
                await servers.proxy.cut_for(fault.seconds)
            case _:
                members[fault.daemon or 0].suffer(fault)

    async def _without_store(self, away_s: float) -> None:
        """Nothing can be written to it or read from it: where its folder was is a file."""
        store, away = self.folder / "artifacts", self.folder / "artifacts-away"
        if not store.is_dir():
            return
        store.rename(away)
        store.touch()
        await asyncio.sleep(away_s)
        store.unlink()
        away.rename(store)

    async def _settled(self, servers: Servers, sources: Sources, records: Records) -> list[str]:
        """Wait until everything there is was read, and no run is left."""
        ends = time.monotonic() + SETTLE_S
        arrivals, batches = (sum(map(len, records[topic].values())) for topic in (ARRIVALS, BATCHES))
        there = arrivals + 2 * batches + len(sources.acknowledged["landed"])
        left = read = 0
        while time.monotonic() < ends:
            left, read = await _count(servers.dsn, UNFINISHED), await _count(servers.dsn, READ)
            if not left and read >= there:
                return []
            await asyncio.sleep(_LOOK_S)
        return [f"{SETTLE_S:.0f} s after the storm {left} runs have not succeeded, and {read} of {there} were read"]

    async def _judge(self, servers: Servers, sources: Sources, records: Records) -> list[str]:
        artifacts = self.folder / "artifacts"
        sides = await gather(servers.dsn, servers.effects, sources.acknowledged, records, artifacts)
        books = [f"{kept.promise}: {one}" async for kept in audit(servers.dsn) for one in kept.breaches]
        return [*verdict(sides), *books]

    def _count(self, servers: Servers, members: Sequence[Member], person: Person, sources: Sources) -> None:
        for member in members:
            self.happened.update(member.deaths)
            self.points |= set(member.noted.read_text().split())
        self.happened["approved by a person"] = person.approved
        self.happened["resumed by a person"] = person.resumed
        for name, ids in sources.acknowledged.items():
            self.happened[f"acknowledged: {name}"] = len(ids)


@dataclass
class Servers:
    """What the daemons stand on. `effects` is on a server of its own, which nobody harms."""

    home: Path
    dsn: str
    effects: str
    broker: str
    proxy: Proxy
    postgres: EmbeddedPostgres

    async def cut_database(self) -> None:
        """End every connection of the daemons."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(CUT)
        finally:
            await connection.close()

    async def restart_database(self, away_s: float) -> None:
        """An immediate shutdown: nothing is written on the way down."""
        pid = int((self.home / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
        await self.postgres.stop()
        await asyncio.sleep(away_s)
        self.postgres = EmbeddedPostgres(self.home)
        await self.postgres.start()


@asynccontextmanager
async def _servers(folder: Path) -> AsyncIterator[Servers]:
    home, outside = folder / "home", folder / "outside"
    for each in (home, outside):
        each.mkdir()
    port = free_port()
    async with EmbeddedPostgres(outside) as effects:
        postgres, broker = EmbeddedPostgres(home), RestartableBroker(home, advertised=f"127.0.0.1:{port}")
        dsn = await postgres.start()
        await broker.start()
        host, _, own = broker.servers.partition(":")
        proxy = Proxy(host, int(own))
        await proxy.start(port)
        servers = Servers(home, dsn, effects, f"127.0.0.1:{port}", proxy, postgres)
        try:
            await migrate(dsn)
            await _execute(effects, SCHEMA)
            for topic in (ARRIVALS, BATCHES, TOLD):
                await create_topic(servers.broker, topic, PARTITIONS)
            yield servers
        finally:
            await proxy.stop()
            await broker.stop()
            await servers.postgres.stop()


async def _records(broker: str, topic: str) -> Mapping[int, Sequence[int]]:
    """The numbers of the records of each partition, in their order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        numbers: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}
        silent = 0
        while silent < 5:
            got = await consumer.getmany(timeout_ms=500)
            silent = 0 if got else silent + 1
            for at, records in got.items():
                numbers[at.partition] += [orjson.loads(one.value)["n"] for one in records]
        return numbers
    finally:
        await consumer.stop()


async def _stop_clock(urls: Sequence[str]) -> None:
    """No tick comes any more, so that an end comes to all there are."""
    async with httpx.AsyncClient(timeout=5.0) as http:
        for url in itertools.cycle(urls):
            with contextlib.suppress(httpx.HTTPError):
                if (await http.post(f"{url}/api/v1/pauses", json=CLOCK)).is_success:
                    return
            await asyncio.sleep(_LOOK_S)


async def _count(dsn: str, query: str, *arguments: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(query, *arguments))
    finally:
        await connection.close()


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
