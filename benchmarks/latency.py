"""(b) From an event to its run's first stage and to the run's end, of each kind of trigger, idle and under load."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import here_settings, start_daemon
from benchmarks.ground import Ground, ground
from benchmarks.measuring import cost, costs, measured, percentiles
from benchmarks.probes import ARRIVALS, BATCHES, BOARDS, PIPELINES, Stimuli
from benchmarks.runs import BATCH, System, arrival
from benchmarks.six import six
from benchmarks.tables import Column, Goal, Table
from service.db.writer import LOG_CHANNEL
from service.embedded.kafka import EmbeddedKafka
from service.settings import Role
from triggers.base import KafkaAccess

BARE_TOPIC = "bare"
BARE_TABLE = "create table bare_events (id bigint generated always as identity primary key, payload bytea)"
INSERT = "bare durable insert and notify"
IN_A_ROW = f"{INSERT}, one straight after the other"
RECORD = "bare record through the broker"
NAMES = {
    "inbox": "event in this process",
    "webhook": "webhook",
    "cloudevent": "CloudEvent",
    "arrival": "Kafka record",
    "batch": "micro-batch of one record",
    "file": "file renamed into place",
    "tick": "tick of a schedule",
    "retry": "retry that is due",
}
# Those that wait for something slow by their nature are asked less often.
SLOW = frozenset({"arrival", "batch", "file", "tick", "retry"})
# Long enough for what is put off until the daemon is idle.
PAUSE_S = 0.06
PROBE_S = 30.0
LOAD_STEP_S = 0.01
NOTE = "CPU is that of daemon and client together, the pauses between events and the six stages after them included."
LOAD_NOTE = "CPU and commits are those of all events meanwhile, divided by their number."


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. `slow_times` is for kinds that wait for a broker, a file or the clock."""

    times: int = 300
    slow_times: int = 40
    runs: int = 5_000
    in_flight: int = 500


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    async with ground() as here, EmbeddedKafka(here.folder) as servers, asyncio.TaskGroup() as tasks:
        await _topics(servers)
        (here.folder / "landing").mkdir()
        producer = AIOKafkaProducer(bootstrap_servers=servers)
        await producer.start()
        settings = here_settings(here, Role.API, Role.TRIGGERS, Role.EXECUTOR, max_runs=size.in_flight)
        kafka = KafkaAccess(servers, embedded=True)
        daemon = await start_daemon(settings, [*PIPELINES, six], tasks, kafka)
        system, stimuli = System(daemon, size.in_flight), Stimuli(daemon, producer)
        probing = Probing(await asyncpg.connect(here.dsn), size, stimuli.by_kind(), here)
        await probing.open()
        await here.execute(BARE_TABLE)
        limits = [
            await _inserts(here, INSERT, size.times, PAUSE_S),
            await _inserts(here, IN_A_ROW, size.times, 0),
            await _records(here, producer, servers, size.slow_times),
        ]
        idle = await probing.rows()
        per_s = await _capacity(system, size.runs)
        load = _Load(system, per_s / 2)
        loading = tasks.create_task(load.run())
        loaded = await probing.rows(lambda: load.given)
        loading.cancel()
        await probing.connection.close()
        await producer.stop()
        daemon.stop()
    bare = limits[0]["p50_ms"]
    for row in (*limits, *idle, *loaded):
        row["ratio"] = row["p50_ms"] / bare
    return [
        Table("Idle", COLUMNS, [*limits, *idle], [NOTE]),
        Table(f"At half of what this daemon can do: {per_s / 2:,.0f} runs/s besides", COLUMNS, loaded, [LOAD_NOTE]),
    ]


COLUMNS = [
    *(Column(f"p{part}_ms", f"first p{part} ms", ",.2f") for part in (50, 95, 99)),
    *(Column(f"done_p{part}_ms", f"done p{part} ms", ",.2f") for part in (50, 95, 99)),
    Column("ratio", "ratio", ",.1f"),
    *costs("event"),
    Column("times", "times"),
]


@dataclass(slots=True)
class Probing:
    """Sets one trigger off after the other, and waits for its run each time."""

    connection: asyncpg.Connection
    size: Size
    stimuli: Mapping[str, Callable[[], Awaitable[float]]]
    here: Ground
    _heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        """Listen for what is new in the run log, as any client may."""
        await self.connection.add_listener(LOG_CHANNEL, self._hear)

    async def rows(self, besides: Callable[[], int] = lambda: 0) -> list[dict[str, Any]]:
        """A row for each kind. `besides` tells how many other events there were so far."""
        return [await self._row(kind, besides) for kind in NAMES]

    async def _row(self, kind: str, besides: Callable[[], int]) -> dict[str, Any]:
        times = self.size.slow_times if kind in SLOW else self.size.times
        await self._probe(kind)
        found: list[tuple[float, float]] = []

        async def all_times() -> None:
            for _ in range(times):
                found.append(await self._probe(kind))

        others = besides()
        used = await measured(times, all_times, self.here.commits)
        used = replace(used, units=times + besides() - others)
        done = percentiles("", [ended for _, ended in found])
        told = {f"done_{key}": value for key, value in done.items() if key.endswith("_ms")}
        return percentiles(NAMES[kind], [began for began, _ in found]) | told | cost(used)

    async def _probe(self, kind: str) -> tuple[float, float]:
        """Seconds until its first stage began, and until a client could see that its run is over."""
        await asyncio.sleep(PAUSE_S)
        board = BOARDS[kind]
        async with asyncio.timeout(PROBE_S):
            before = await self._over(kind)
            board.began = asyncio.get_running_loop().create_future()
            at = await self.stimuli[kind]()
            began = await board.began
            while True:
                self._heard.clear()
                heard_at = time.perf_counter()
                if await self._over(kind) > before:
                    return began - at, heard_at - at
                await self._heard.wait()

    async def _over(self, kind: str) -> int:
        statement = "select count(*) from runs where pipeline = $1 and finished_at is not null"
        return int(await self.connection.fetchval(statement, kind))

    def _hear(self, *_: object) -> None:
        self._heard.set()


async def _topics(servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1) for name in (ARRIVALS, BATCHES, BARE_TOPIC)])
    await admin.close()


async def _inserts(here: Ground, name: str, times: int, pause_s: float) -> dict[str, Any]:
    """One row, durable, and whoever listens knows of it.

    After a pause, as every event is probed after one: a machine that was idle wakes up slowly, and that is most of it.
    """
    statement = "with put as (insert into bare_events (payload) values ($1) returning id) "
    writing, listening = await asyncpg.connect(here.dsn), await asyncpg.connect(here.dsn)
    put = await writing.prepare(f"{statement} select pg_notify('bare', id::text) from put")
    heard = asyncio.Event()
    await listening.add_listener("bare", lambda *_: heard.set())
    found = []

    async def all_times() -> None:
        for _ in range(times):
            await asyncio.sleep(pause_s)
            heard.clear()
            at = time.perf_counter()
            await put.fetch(b"{}")
            await heard.wait()
            found.append(time.perf_counter() - at)

    used = await measured(times, all_times, here.commits)
    await writing.close()
    await listening.close()
    return percentiles(name, found) | cost(used)


async def _records(here: Ground, producer: AIOKafkaProducer, servers: str, times: int) -> dict[str, Any]:
    """One record from a producer to a consumer of the same broker: what no Kafka trigger can be below."""
    consumer = AIOKafkaConsumer(BARE_TOPIC, bootstrap_servers=servers, auto_offset_reset="earliest")
    await consumer.start()
    found = []

    async def all_times() -> None:
        for _ in range(times):
            await asyncio.sleep(PAUSE_S)
            at = time.perf_counter()
            await producer.send_and_wait(BARE_TOPIC, b"{}")
            await consumer.getone()
            found.append(time.perf_counter() - at)

    used = await measured(times, all_times, here.commits)
    await consumer.stop()
    return percentiles(RECORD, found) | cost(used)


async def _capacity(system: System, runs: int) -> float:
    await system.work(min(runs, 500))
    begun = time.perf_counter()
    await system.work(runs)
    return runs / (time.perf_counter() - begun)


@dataclass(slots=True)
class _Load:
    """Runs at a rate, beside what is measured."""

    system: System
    per_s: float
    given: int = 0

    async def run(self) -> None:
        """Until cancelled."""
        begun = time.perf_counter()
        while True:
            owed = int((time.perf_counter() - begun) * self.per_s) - self.given
            if owed > 0:
                await self.system.daemon.inbox.accept([arrival() for _ in range(min(owed, BATCH))])
                self.given += min(owed, BATCH)
            if owed <= BATCH:
                await asyncio.sleep(LOAD_STEP_S)


BENCHMARK = Benchmark(
    order="b",
    says="From an event to its run's first stage, and to when a client could see that the run of six stages is over.",
    full=Size(),
    quick=Size(times=3, slow_times=2, runs=100, in_flight=50),
    measure=run,
    goals=[
        Goal("idle p50 to the first stage, against one insert and notify", NAMES["inbox"], "ratio", most=5, aim=2.5),
        Goal("idle p50 of a retry after its time", NAMES["retry"], "p50_ms", most=5, aim=2, unit=" ms"),
    ],
)
