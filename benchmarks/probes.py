"""What is probed for latency: a pipeline of six stages for each kind of trigger, and how that trigger is set off."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from benchmarks.six import five, four, six_, three, two
from service.app import Daemon
from stages import Event, Pipeline, Retry, StageContext, stage
from triggers import CloudEvents, Every, Files, KafkaArrivals, KafkaBatches, Webhook
from triggers.base import Arrival, Offer, Trigger
from triggers.event import utc_now

ARRIVALS, BATCHES = "probe-arrivals", "probe-batches"
TICK_S = 1.0
RETRY_S = 0.15
_numbers = itertools.count()


class Board:
    """When the first stage of the run that is probed began, by `time.perf_counter`; of what began before, nothing."""

    def __init__(self) -> None:
        self.began: asyncio.Future[float] | None = None
        self.due: asyncio.Future[float] | None = None

    def write(self) -> None:
        """The first stage begins."""
        if self.began is not None and not self.began.done():
            self.began.set_result(time.perf_counter())

    def put_off(self, seconds: float) -> None:
        """It is to begin so much later."""
        if self.due is not None and not self.due.done():
            self.due.set_result(time.perf_counter() + seconds)


BOARDS: dict[str, Board] = {}


def probe(name: str, *triggers: Trigger) -> Pipeline:
    """A pipeline whose first stage writes on the board of that name."""
    BOARDS[name] = Board()

    @stage(reuse="never", name="one")
    async def one(event: Event) -> None:
        BOARDS[name].write()

    return Pipeline(name, stages=[one, two, three, four, five, six_], on=list(triggers))


def retried(name: str) -> Pipeline:
    """A pipeline whose first stage fails, and counts as begun when it is tried again."""
    BOARDS[name] = Board()

    @stage(reuse="never", name="one", retry=Retry(max_attempts=2, initial_s=RETRY_S, jitter=False))
    async def one(context: StageContext) -> None:
        if context.attempt == 1:
            BOARDS[name].put_off(RETRY_S)
            raise ConnectionError("not yet")
        BOARDS[name].write()

    return Pipeline(name, stages=[one, two, three, four, five, six_])


PIPELINES = [
    probe("inbox"),
    probe("webhook", Webhook("probe")),
    probe("cloudevent", CloudEvents(where={"type": "probe"})),
    probe("arrival", KafkaArrivals(ARRIVALS)),
    probe("batch", KafkaBatches(BATCHES, max_records=1)),
    probe("file", Files("landing/*.json", complete="rename")),
    probe("tick", Every(TICK_S)),
    retried("retry"),
]


@dataclass(slots=True)
class Stimuli:
    """Sets triggers off. Each method returns when it did, by `time.perf_counter`."""

    daemon: Daemon
    producer: AIOKafkaProducer
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None)

    def by_kind(self) -> dict[str, Callable[[], Awaitable[float]]]:
        """One way for each of `PIPELINES`."""
        return {
            "inbox": self.inbox,
            "webhook": self.webhook,
            "cloudevent": self.cloudevent,
            "arrival": self.arrival,
            "batch": self.batch,
            "file": self.file,
            "tick": self.tick,
            "retry": self.retry,
        }

    async def inbox(self) -> float:
        """An event handed to the inbox of this process."""
        event = Event(source="probes", id=f"{next(_numbers)}", type="probe", time=utc_now())
        at = time.perf_counter()
        await self._accept(event, "inbox")
        return at

    async def webhook(self) -> float:
        """A POST on a connection that is open."""
        return await self._post("/hooks/probe", "Content-Type: application/json\r\n", {"number": next(_numbers)})

    async def cloudevent(self) -> float:
        """A POST of a CloudEvent in binary mode."""
        head = f"ce-specversion: 1.0\r\nce-id: {next(_numbers)}\r\nce-source: /probes\r\nce-type: probe\r\n"
        return await self._post("/api/v1/events", f"Content-Type: application/json\r\n{head}", {})

    async def arrival(self) -> float:
        """A record for `KafkaArrivals`."""
        return await self._send(ARRIVALS)

    async def batch(self) -> float:
        """A record for `KafkaBatches` of one record."""
        return await self._send(BATCHES)

    async def file(self) -> float:
        """A file that is renamed into place."""
        root = self.daemon.settings.root
        return await asyncio.to_thread(_land, root / f"{next(_numbers)}.json", root / "landing")

    async def tick(self) -> float:
        """The instant of the next tick, which needs nobody."""
        now_s = time.time()
        due_s = (now_s // TICK_S + 1) * TICK_S
        return time.perf_counter() + due_s - now_s

    async def retry(self) -> float:
        """When a stage that failed is due, by the clock of who failed."""
        due: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        BOARDS["retry"].due = due
        await self._accept(Event(source="probes", id=f"{next(_numbers)}", type="probe", time=utc_now()), "retry")
        return await due

    async def _accept(self, event: Event, pipeline: str) -> None:
        await self.daemon.inbox.accept([Arrival(event, [Offer(pipeline, "probe")])])

    async def _send(self, topic: str) -> float:
        at = time.perf_counter()
        await self.producer.send_and_wait(topic, b"{}")
        return at

    async def _post(self, path: str, headers: str, value: Any) -> float:
        # The server ends a connection that was idle for long.
        if self._streams is None or self._streams[0].at_eof():
            host, _, port = self.daemon.address.removeprefix("http://").rpartition(":")
            self._streams = await asyncio.open_connection(host, int(port))
        reader, writer = self._streams
        body = orjson.dumps(value)
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        at = time.perf_counter()
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        if not answer.startswith(b"http/1.1 202"):
            raise RuntimeError(f"{path} answered {answer.decode()}")
        return at


def _land(made: Path, landing: Path) -> float:
    made.write_text(f'{{"name": "{made.name}"}}')
    at = time.perf_counter()
    made.rename(landing / made.name)
    return at
