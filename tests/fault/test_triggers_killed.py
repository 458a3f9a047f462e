"""Each trigger through a daemon that dies: what happened is one event and one run, never none, never two."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiokafka import AIOKafkaProducer

from tests.db.writing import rows, until
from tests.fault.daemons import daemon_process

RECORDS = 200


async def produce(bootstrap: str, topic: str, count: int) -> None:
    """Publish numbered records."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=50)
    await producer.start()
    try:
        for number in range(count):
            await producer.send(topic, b'{"n": %d}' % number)
        await producer.flush()
    finally:
        await producer.stop()


async def dies(dsn: str, folder: Path, pipeline: str, fault: str, **variables: str) -> None:
    """Let a daemon run into a fault."""
    async with (
        daemon_process(dsn, folder, pipeline, roles="triggers", TIDEMILL_FAULTS=fault, **variables) as process,
        asyncio.timeout(40),
    ):
        await process.wait()


async def test_each_record_is_one_run_when_daemons_die_before_and_after_the_commit(
    database: str, kafka: str, topic: str, tmp_path: Path
) -> None:
    variables = {"TIDEMILL_KAFKA_BOOTSTRAP_SERVERS": kafka, "TIDEMILL_KAFKA_SESSION_S": "2", "TEST_TOPIC": topic}
    pipeline = "tests.fault.listening:every_record"
    await produce(kafka, topic, RECORDS)
    # The first commit of a partition that was never read says only where its triggers begin.
    for fault in ("accept.commit=crash@2", "accept.committed=crash@1"):
        await dies(database, tmp_path, pipeline, fault, **variables)
        await produce(kafka, topic, RECORDS)
    async with daemon_process(database, tmp_path, pipeline, roles="triggers,executor", **variables):
        await until(database, 40, "select count(*) >= $1 from runs where state = 'succeeded'", 3 * RECORDS)
    assert len(await rows(database, "select from runs")) == 3 * RECORDS
    assert len(await rows(database, "select distinct id from events")) == 3 * RECORDS


async def test_each_offset_is_in_one_batch_when_daemons_die_before_and_after_the_commit(
    database: str, kafka: str, topic: str, tmp_path: Path
) -> None:
    variables = {"TIDEMILL_KAFKA_BOOTSTRAP_SERVERS": kafka, "TIDEMILL_KAFKA_SESSION_S": "2", "TEST_TOPIC": topic}
    pipeline = "tests.fault.listening:every_batch"
    await produce(kafka, topic, RECORDS)
    for fault in ("accept.commit=crash@1", "accept.committed=crash@1"):
        await dies(database, tmp_path, pipeline, fault, **variables)
    async with daemon_process(database, tmp_path, pipeline, roles="triggers,executor", **variables):
        async with asyncio.timeout(40):
            while (done := await counted(database)) < RECORDS:
                await asyncio.sleep(0.05)
    ranges = await rows(
        database,
        "select (d->>'first_offset')::int as first, (d->>'last_offset')::int as last"
        " from events, lateral (select convert_from(envelope, 'utf8')::json->'data' as d) _ order by 1",
    )
    covered = [offset for row in ranges for offset in range(row["first"], row["last"] + 1)]
    assert done == RECORDS
    assert covered == list(range(RECORDS))


async def counted(dsn: str) -> int:
    """How many records the batches of finished runs held."""
    found = await rows(
        dsn, "select convert_from(output_inline, 'utf8')::int as n from attempts where state = 'succeeded'"
    )
    return sum(row["n"] for row in found)


async def test_a_tick_that_two_daemons_hear_is_one_run(database: str, tmp_path: Path) -> None:
    pipeline = "tests.fault.listening:every_second"
    roles = "triggers,executor"
    async with (
        daemon_process(database, tmp_path, pipeline, roles=roles),
        daemon_process(database, tmp_path, pipeline, roles=roles),
    ):
        await until(database, 40, "select count(*) >= $1 from runs where state = 'succeeded'", 3)
    query = "select e.id, count(*) as runs from events e join runs r on r.event_key = e.key group by 1"
    ticks = await rows(database, query)
    assert len(ticks) >= 3
    assert {row["runs"] for row in ticks} == {1}


async def test_each_file_is_one_run_when_the_daemon_dies_while_it_tells_of_them(database: str, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    for number in range(20):
        (landing / f"{number}.csv").write_text(str(number))
    pipeline = "tests.fault.listening:every_file"
    here = {"TIDEMILL_ROOT": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    for fault in ("accept.commit=crash@1", "accept.committed=crash@1"):
        await dies(database, tmp_path, pipeline, fault, **here)
    (landing / "new.csv").write_text("new")
    async with daemon_process(database, tmp_path, pipeline, roles="triggers,executor", **here):
        await until(database, 40, "select count(*) >= $1 from runs where state = 'succeeded'", 21)
    assert len(await rows(database, "select from runs")) == 21
