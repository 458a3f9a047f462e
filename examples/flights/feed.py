"""The world outside, for a try: months land as files or are announced on Kafka, and flights leave, live.

    python -m examples.flights.feed --kafka 127.0.0.1:9092
    python -m examples.flights.feed --kafka 127.0.0.1:9092 --announce 5

Real flights of 2013. A month that has landed is not landed again, and its announcement keeps its id, so that starting
this twice starts no run twice.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import orjson
import polars as pl
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from examples.flights.data import month_of_flights

ARRIVALS_TOPIC, LIVE_TOPIC = "data.arrivals", "flights.live"
LANDING = "landing"
LAST_MONTH = 12
BROKER_TIMEOUT_S = 20.0


async def feed(root: Path, bootstrap: str, *, every_s: float = 15.0, months: int = 3, flights_per_s: int = 20) -> None:
    """Land the first `months`, one every `every_s` seconds, while the flights after these leave, live.

    A month that is over lands too. Odd months land below `landing/flights`, where files are watched; even ones below
    `landing/announced`, with a CloudEvent on Kafka. Returns after December. Raises ConnectionError when the broker
    cannot be reached.
    """
    async with kafka_producer(bootstrap) as producer, asyncio.TaskGroup() as tasks:
        tasks.create_task(land_months(producer, root / LANDING, range(1, months + 1), every_s))
        tasks.create_task(stream_months(producer, root / LANDING, range(months + 1, LAST_MONTH + 1), flights_per_s))


async def land_months(producer: AIOKafkaProducer, landing: Path, months: Iterable[int], every_s: float) -> None:
    """Land these months, one every `every_s` seconds."""
    for month in months:
        await land(producer, landing, month, announced=month % 2 == 0)
        await asyncio.sleep(every_s)


async def stream_months(producer: AIOKafkaProducer, landing: Path, months: Iterable[int], flights_per_s: int) -> None:
    """Let the flights of these months leave; each month lands when it is over."""
    for month in months:
        await stream(producer, await asyncio.to_thread(month_of_flights, month), flights_per_s)
        await land(producer, landing, month, announced=month % 2 == 0)


@asynccontextmanager
async def kafka_producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that gathers records for 100 ms. Raises ConnectionError when the broker cannot be reached."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=100, request_timeout_ms=15_000)
    try:
        await _start(producer, bootstrap)
        yield producer
    finally:
        async with asyncio.timeout(BROKER_TIMEOUT_S):
            await producer.stop()


async def _start(producer: AIOKafkaProducer, bootstrap: str) -> None:
    try:
        async with asyncio.timeout(BROKER_TIMEOUT_S):
            await producer.start()
    except (KafkaError, TimeoutError) as error:
        raise ConnectionError(f"Kafka at {bootstrap} does not answer ({error!r}): is it running there?") from error


async def land(producer: AIOKafkaProducer, landing: Path, month: int, *, announced: bool) -> None:
    """Write one month below `landing`, and tell Kafka if it is to be `announced`."""
    path = await asyncio.to_thread(write_month, month, landing / ("announced" if announced else "flights"))
    if announced:
        await announce(producer, path)
    print(f"{path.name} {'announced on ' + ARRIVALS_TOPIC if announced else 'landed'}", flush=True)


def write_month(month: int, folder: Path) -> Path:
    """The Parquet file of a month in `folder`, written if it is not there yet.

    Written under another name and renamed when whole, so that nobody reads half of it.
    """
    path = folder.resolve() / f"flights-2013-{month:02}.parquet"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        month_of_flights(month).write_parquet(part)
        part.replace(path)
    return path


async def announce(producer: AIOKafkaProducer, path: Path) -> None:
    """Publish "this file has arrived" as a CloudEvent in Kafka's binary mode. The same file makes the same event."""
    attributes = {
        "specversion": "1.0",
        "id": path.name,
        "source": "https://flights.example/lake",
        "type": "example.flights.arrived",
        "subject": "flights",
        "time": datetime.now(UTC).isoformat(),
    }
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items()]
    body = orjson.dumps({"path": str(path)})
    async with asyncio.timeout(BROKER_TIMEOUT_S):
        await producer.send_and_wait(
            ARRIVALS_TOPIC, body, key=b"flights", headers=[*headers, ("content-type", b"application/json")]
        )


async def stream(producer: AIOKafkaProducer, flights: pl.DataFrame, flights_per_s: int) -> None:
    """Send flights as JSON, `flights_per_s` at a time, in the order they come."""
    print(f"{flights.height} flights leave on {LIVE_TOPIC}, {flights_per_s} a second", flush=True)
    for part in flights.iter_slices(flights_per_s):
        for flight in records_of(part):
            async with asyncio.timeout(BROKER_TIMEOUT_S):
                await producer.send(LIVE_TOPIC, flight, key=b"flights")  # one partition: in order, one batch at a time
        await asyncio.sleep(1)


def records_of(flights: pl.DataFrame) -> list[bytes]:
    """Each flight as a JSON object with the columns of the data, its instant as RFC 3339 text."""
    return [orjson.dumps(row, option=orjson.OPT_UTC_Z) for row in flights.iter_rows(named=True)]


async def announce_one(root: Path, bootstrap: str, month: int) -> None:
    """Land one month below `landing/announced`, announce it, and be done."""
    async with kafka_producer(bootstrap) as producer:
        await land(producer, root / LANDING, month, announced=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m examples.flights.feed", description="Feed the flights example.")
    parser.add_argument("--kafka", required=True, metavar="HOST:PORT", help="the broker, as `make up` prints it")
    parser.add_argument("--root", type=Path, default=Path(), help="the daemon's root folder; months land below it")
    parser.add_argument("--every-s", type=float, default=15.0, help="seconds between two months")
    parser.add_argument("--months", type=int, default=3, help="months that are in the past; the next are live")
    parser.add_argument("--flights-per-s", type=int, default=20, help="live flights a second")
    parser.add_argument("--announce", type=int, metavar="MONTH", help="only land and announce this month")
    given = parser.parse_args(arguments)
    if given.announce:
        work = announce_one(given.root, given.kafka, given.announce)
    else:
        pace = {"every_s": given.every_s, "months": given.months, "flights_per_s": given.flights_per_s}
        work = feed(given.root, given.kafka, **pace)
    try:
        asyncio.run(work)
    except ConnectionError as error:
        parser.exit(1, f"{error}\n")
    except KeyboardInterrupt:
        parser.exit(130)


if __name__ == "__main__":
    main()
