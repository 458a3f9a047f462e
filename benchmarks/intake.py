"""(c) Webhooks with a signature and CloudEvents over HTTP, beside the same server answering without writing."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import here_settings
from benchmarks.ground import Ground, ground
from benchmarks.http_load import Load, load_client
from benchmarks.measuring import Round, alternate, measured, rates, summary
from benchmarks.tables import Goal, Table
from service.app import Daemon
from service.build import open_daemon
from service.catalogue import Catalogue
from service.db.accept import Accepted
from service.garbage import settle
from service.inbox import NoHandOver, PostgresInbox
from service.settings import Role
from stages import Event, Pipeline, stage
from triggers import CloudEvents, GitHub, Webhook
from triggers.base import Arrival, Outcome, Position, Receipt, RunId

SIGNED_WITH = "of the benchmark"
PADDING = "x" * 700
UNWRITTEN = "the same server, nothing written"
_numbers = itertools.count()


@stage
async def nothing(event: Event) -> None:
    """Never run: this daemon only accepts."""


PIPELINES = [
    Pipeline("hooked", [nothing], on=[Webhook("github", verify=GitHub(SIGNED_WITH))]),
    Pipeline("heard", [nothing], on=[CloudEvents()]),
]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured. `batch` events are in a request that holds several."""

    requests: int = 5_000
    rounds: int = 5
    connections: int = 64
    batch: int = 50


class Unwritten(PostgresInbox):
    """Accepts whatever it is given, and keeps nothing of it."""

    async def accept(self, arrivals: Sequence[Arrival], positions: Sequence[Position] = ()) -> Sequence[Receipt]:
        """As if each offer had started a run."""
        outcomes = {
            arrival.event.key: [Outcome(one.pipeline, one.trigger, one.fate, "", RunId(1)) for one in arrival.offers]
            for arrival in arrivals
        }
        return self.receipts(arrivals, Accepted(frozenset(outcomes), {}, outcomes))


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    async with ground() as here, load_client() as client, asyncio.TaskGroup() as tasks:
        servers = {UNWRITTEN: await _serve(here, tasks, written=False), "tidemill": await _serve(here, tasks)}
        tables = []
        for name, unit, kind in _kinds(size):
            contenders = {
                f"{name}: {server}": _Posting(here, client, daemon, size.connections, kind).round
                for server, daemon in servers.items()
            }
            for contender in contenders.values():
                await contender()
            found = await alternate(contenders, size.rounds)
            tables.append(
                rates(f"{name}, {size.connections} connections", unit, summary(found, f"{name}: {UNWRITTEN}"))
            )
        for daemon in servers.values():
            daemon.stop()
    return tables


async def _serve(here: Ground, tasks: asyncio.TaskGroup, *, written: bool = True) -> Daemon:
    """A daemon that answers HTTP and drives nothing."""
    catalogue = Catalogue({one.name: one for one in PIPELINES}, {one.name: "-" for one in PIPELINES})
    daemon = await open_daemon(here_settings(here, Role.API), catalogue, None)
    if not written:
        daemon.inbox = Unwritten(daemon.writer, daemon.reads, catalogue, NoHandOver())
    ready = asyncio.Event()

    async def started(_: Daemon) -> None:
        ready.set()

    tasks.create_task(daemon.run(started))
    await ready.wait()
    settle()
    return daemon


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests of one kind, each new. `events` are in one of them."""

    path: str
    number: int
    events: int = 1
    signed: bool = False
    headers: str = field(default="Content-Type: application/json\r\n")

    def requests(self) -> list[bytes]:
        """As they go over the wire."""
        return [self._request() for _ in range(self.number)]

    def _request(self) -> bytes:
        events = [_event(next(_numbers)) for _ in range(self.events)]
        body = orjson.dumps(events[0] if self.events == 1 else events)
        headers = self.headers
        if self.signed:
            digest = hmac.new(SIGNED_WITH.encode(), body, hashlib.sha256).hexdigest()
            headers += f"X-GitHub-Event: push\r\nX-GitHub-Delivery: {next(_numbers)}\r\n"
            headers += f"X-Hub-Signature-256: sha256={digest}\r\n"
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


def _kinds(size: Size) -> Sequence[tuple[str, str, Kind]]:
    cloud = "Content-Type: application/cloudevents{}+json\r\n"
    batches = Kind("/api/v1/events", max(size.requests // size.batch, 1), size.batch, headers=cloud.format("-batch"))
    return [
        ("Signed webhooks", "webhook", Kind("/hooks/github", size.requests, signed=True)),
        ("CloudEvents", "event", Kind("/api/v1/events", size.requests, headers=cloud.format(""))),
        (f"CloudEvents, {size.batch} a request", "event", batches),
    ]


def _event(number: int) -> dict[str, object]:
    """A kilobyte. As a webhook's payload, its attributes are data like the rest."""
    data = {"number": number, "padding": PADDING}
    return {"specversion": "1.0", "id": f"{number}", "source": "/benchmarks", "type": "posted", "data": data}


@dataclass(frozen=True, slots=True)
class _Posting:
    here: Ground
    client: Load
    daemon: Daemon
    connections: int
    kind: Kind

    async def round(self) -> Round:
        """All requests, to the last answer. The CPU time is the server's, which is this process's."""
        port = int(self.daemon.address.rpartition(":")[2])
        await self.client.prepare(port, self.connections, self.kind.requests())
        return await measured(self.kind.number * self.kind.events, self.client.send, self.here.commits)


BENCHMARK = Benchmark(
    order="c",
    says="Signed webhooks and CloudEvents over HTTP, beside the same server answering 202 without writing.",
    full=Size(),
    quick=Size(requests=50, rounds=1, connections=4, batch=5),
    measure=run,
    goals=[
        Goal("signed webhooks/s, against nothing written", "Signed webhooks: tidemill", "ratio", least=0.5, aim=0.75),
    ],
)
