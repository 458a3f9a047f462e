"""A daemon that reads Kafka while Postgres is away, and one that dies with dead records on their way."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient

from service.db.migrations import migrate
from service.embedded.postgres import EmbeddedPostgres
from tests.broker.seam import create_topic
from tests.broker.test_dead_letters import copies
from tests.db.writing import rows, until
from tests.fault.daemons import daemon_process
from tests.fault.test_triggers_killed import dies

MEGABYTE = 1024 * 1024


def memory_bytes(pid: int) -> int:
    """What a process holds in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


async def members(servers: str, group: str) -> list[str]:
    """Who is in a group. A member that was thrown out comes back under another name."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        [answer] = await admin.describe_consumer_groups([group])
        return [member[0] for member in answer.groups[0][5]]
    finally:
        await admin.close()


async def test_while_postgres_is_away_memory_stays_flat_nobody_leaves_and_then_each_record_is_one_run(
    kafka: str, topic: str, home: Path, tmp_path: Path
) -> None:
    server = EmbeddedPostgres(home)
    dsn = await server.start()
    await migrate(dsn)
    given = {
        "TIDEMILL_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TIDEMILL_KAFKA_SESSION_S": "2",
        "TIDEMILL_KAFKA_GROUP_PREFIX": f"outage-{topic}",
        "TEST_TOPIC": topic,
    }
    async with daemon_process(dsn, tmp_path, "tests.fault.listening:every_record", roles="triggers", **given) as daemon:
        producer = AIOKafkaProducer(bootstrap_servers=kafka)
        await producer.start()
        await producer.send_and_wait(topic, b'"first"')
        await until(dsn, 40, "select count(*) >= 1 from runs")
        before = await members(kafka, f"outage-{topic}.arrivals")
        await server.stop()
        held = memory_bytes(daemon.pid)
        for _ in range(160):
            await producer.send_and_wait(topic, b'"%s"' % (b"x" * 900_000))
        for _ in range(12):
            await asyncio.sleep(0.5)
            assert memory_bytes(daemon.pid) - held < 80 * MEGABYTE
        assert await members(kafka, f"outage-{topic}.arrivals") == before
        assert len(before) == 1
        server = EmbeddedPostgres(home)
        assert await server.start() == dsn
        await until(dsn, 40, "select count(*) >= 161 from runs")
        await producer.stop()
        assert await members(kafka, f"outage-{topic}.arrivals") == before
    assert len(await rows(dsn, "select from events")) == 161
    await server.stop()


async def test_dead_records_are_forwarded_by_the_next_daemon_when_one_dies_after_their_commit(
    database: str, kafka: str, topic: str, tmp_path: Path
) -> None:
    given = {
        "TIDEMILL_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "TIDEMILL_KAFKA_SESSION_S": "2",
        "TEST_TOPIC": topic,
    }
    pipeline = "tests.fault.listening:dead_ones"
    await create_topic(kafka, f"{topic}-dead")
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    for number in range(10):
        await producer.send_and_wait(topic, b"{%d" % number)
    await producer.stop()
    letters = "select from positions where scope like '%:dead:%'"
    # Before anything is copied (the first commit only says where the trigger begins), and before all is ticked off.
    for fault in ("accept.committed=crash@2", "accept.commit=crash@1"):
        await dies(database, tmp_path, pipeline, fault, **given)
        assert len(await rows(database, letters)) == 10
    async with daemon_process(database, tmp_path, pipeline, roles="triggers", **given):
        found = await copies(kafka, f"{topic}-dead", 20)
        await until(database, 40, "select not exists (select from positions where scope like '%:dead:%')")
    assert [record.value for record in found] == 2 * [b"{%d" % number for number in range(10)]
    assert len(await rows(database, "select from fates where fate = 'dead'")) == 10
