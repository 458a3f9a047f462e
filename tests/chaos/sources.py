"""What happens: numbered things of every kind. Each is told again until it is acknowledged, and then noted."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import httpx
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

ARRIVALS, BATCHES = "arrivals", "batches"
PARTITIONS = 3
BITE = 40
# Whoever waits for an answer tells of nothing else: so many do.
TELLERS = 4
_ANSWER_S = 5.0
_AGAIN_S = 0.1


class Sources:
    """Feeds the daemons at `urls`; `acknowledged` is what each kind was promised, by the ids of its events."""

    def __init__(self, urls: Sequence[str], servers: str, landing: Path, per_s: float) -> None:
        self.acknowledged: dict[str, list[str]] = defaultdict(list)
        self.refused: list[str] = []
        self._urls = urls
        self._servers = servers
        self._landing = landing
        self._pause_s = 1.0 / per_s
        self._over = asyncio.Event()

    def end(self) -> None:
        """Nothing new happens; what has happened is still told until it is acknowledged."""
        self._over.set()

    async def feed(self) -> None:
        """Until `end`, and everything is acknowledged."""
        async with httpx.AsyncClient(timeout=_ANSWER_S) as http, asyncio.TaskGroup() as tasks:
            for name, tell in TOLD.items():
                numbers = itertools.count()
                for _ in range(TELLERS):
                    tasks.create_task(self._tell_each(name, http, tell, numbers))
            tasks.create_task(self._drop_files())
            tasks.create_task(self._produce(ARRIVALS, 1))
            tasks.create_task(self._produce(BATCHES, BITE))

    async def _numbers(self, pause_s: float, numbers: Iterator[int] | None = None) -> AsyncIterator[int]:
        for number in numbers or itertools.count():
            if self._over.is_set():
                return
            yield number
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), random.uniform(0, 2 * pause_s))

    async def _tell_each(self, name: str, http: httpx.AsyncClient, tell: Tell, numbers: Iterator[int]) -> None:
        async for number in self._numbers(TELLERS * self._pause_s, numbers):
            event_id = f"{name}-{number}"
            for attempt in itertools.count():
                url = self._urls[(number + attempt) % len(self._urls)]
                with contextlib.suppress(httpx.HTTPError):
                    answer = await tell(http, url, name, event_id)
                    if answer.is_success:
                        break
                    if answer.status_code not in (429, 503):
                        self.refused.append(f"{event_id}: {answer.status_code} {answer.text}")
                        return
                await asyncio.sleep(_AGAIN_S)
            self.acknowledged[name].append(event_id)

    async def _drop_files(self) -> None:
        """A file is there once it has its name. Nobody acknowledges files."""
        async for number in self._numbers(self._pause_s):
            folder = self._landing / f"{number % 7}"
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = folder / f".{number}.csv.part"
            unfinished.write_text(str(number))
            unfinished.rename(folder / f"{number}.csv")
            self.acknowledged["landed"].append(f"landing/{number % 7}/{number}.csv")

    async def _produce(self, topic: str, bite: int) -> None:
        """Bites of records. What the broker did not confirm is sent again, and may be there twice."""
        async for number in self._numbers(self._pause_s):
            values = [b'{"n": %d}' % one for one in range(number * bite, (number + 1) * bite)]
            while not await self._sent(topic, number % PARTITIONS, values):
                await asyncio.sleep(_AGAIN_S)

    async def _sent(self, topic: str, partition: int, values: Sequence[bytes]) -> bool:
        producer = AIOKafkaProducer(bootstrap_servers=self._servers, request_timeout_ms=3_000)
        try:
            async with asyncio.timeout(_ANSWER_S):
                await producer.start()
                await asyncio.gather(*[await producer.send(topic, value, partition=partition) for value in values])
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await producer.stop()
        return True


Tell = Callable[[httpx.AsyncClient, str, str, str], Awaitable[httpx.Response]]


async def _hook(http: httpx.AsyncClient, url: str, name: str, event_id: str) -> httpx.Response:
    return await http.post(f"{url}/hooks/chaos", json={"n": event_id}, headers={"Idempotency-Key": event_id})


async def _cloudevent(http: httpx.AsyncClient, url: str, name: str, event_id: str) -> httpx.Response:
    event = {"specversion": "1.0", "source": "chaos", "id": event_id, "type": f"chaos.{name}", "data": {"n": event_id}}
    body, headers = orjson.dumps(event), {"Content-Type": "application/cloudevents+json"}
    return await http.post(f"{url}/api/v1/events", content=body, headers=headers)


async def _by_hand(http: httpx.AsyncClient, url: str, name: str, event_id: str) -> httpx.Response:
    return await http.post(f"{url}/api/v1/pipelines/{name}/runs", json={"id": event_id, "by": "kim"})


TOLD: dict[str, Tell] = {"posted": _hook, "told": _cloudevent, "shared": _cloudevent, "decided": _by_hand}
