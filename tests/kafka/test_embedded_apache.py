"""The embedded Apache Kafka keeps its records, listens on loopback, and never outlives its daemon."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from service.embedded.apache import ApacheKafka
from service.embedded.apache_jars import Jars
from service.errors import BrokerUnavailable
from tests.broker.seam import create_topic, produce
from tests.fault.processes import all_gone, descendants, next_line, owner_of
from tests.fault.test_embedded_kafka import cluster_of


async def values(servers: str, topic: str, count: int) -> list[bytes]:
    """The first so many values of a topic's first partition."""
    async with AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(30):
            return [(await consumer.getone()).value for _ in range(count)]


def listening_addresses(pid: int) -> set[str]:
    """The addresses at which a process listens, as Linux writes them (proc(5))."""
    links = [os.readlink(one) for one in Path(f"/proc/{pid}/fd").iterdir()]
    sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [line.split() for kind in ("tcp", "tcp6") for line in Path(f"/proc/net/{kind}").read_text().splitlines()]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and row[9] in sockets}


async def test_what_was_in_it_is_there_again_and_it_is_the_same_cluster(home: Path, jars: Jars) -> None:
    clusters = set()
    for life in (1, 2):
        async with ApacheKafka(home, jars) as servers:
            clusters.add(await cluster_of(servers))
            if life == 1:
                await create_topic(servers, "t")
            await produce(servers, "t", [b"of life %d" % life])
            assert await values(servers, "t", life) == [b"of life 1", b"of life 2"][:life]
    assert len(clusters) == 1
    assert list((home / "apache-kafka/tmp").iterdir()) == []


async def test_it_listens_on_loopback_only(home: Path, jars: Jars) -> None:
    others = set(descendants(os.getpid()))
    async with ApacheKafka(home, jars):
        _, broker = (pid for pid in descendants(os.getpid()) if pid not in others)
        # 127.0.0.1 in IPv4, and as IPv6 writes it.
        assert listening_addresses(broker) <= {"0100007F", "0000000000000000FFFF00000100007F"}
        assert listening_addresses(broker)


async def test_a_kill_of_the_daemon_ends_it_and_what_it_took_is_there_again(home: Path, jars: Jars) -> None:
    async with owner_of("apache", home) as daemon:
        servers = await next_line(daemon)
        await create_topic(servers, "t")
        await produce(servers, "t", [b"1", b"2"])
        family = descendants(daemon.pid)
        assert len(family) == 2
        daemon.kill()
        await daemon.wait()
        async with ApacheKafka(home, jars) as again:
            await all_gone(family)
            assert await values(again, "t", 2) == [b"1", b"2"]


async def test_a_broker_that_is_killed_is_noticed_and_starts_again_with_what_it_took(home: Path, jars: Jars) -> None:
    others = set(descendants(os.getpid()))
    server = ApacheKafka(home, jars)
    servers = await server.start()
    await create_topic(servers, "t")
    await produce(servers, "t", [b"1"])
    _, broker = (pid for pid in descendants(os.getpid()) if pid not in others)
    os.kill(broker, signal.SIGKILL)
    with pytest.raises(BrokerUnavailable, match="exit code 137"):
        await asyncio.wait_for(server.watch(), timeout=10)
    await server.stop()
    assert await values(await server.start(), "t", 1) == [b"1"]
    await server.stop()


UP = "from service.cli.main import main; main()"


async def up(home: Path, *given: str) -> tuple[asyncio.subprocess.Process, str]:
    """`tidemill up`, ready, and the address of its broker."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    environment |= {"TIDEMILL_HOME": str(home), "TIDEMILL_HTTP_PORT": "0", "TIDEMILL_ROOT": str(Path.cwd())}
    environment |= {"TIDEMILL_PIPELINES": "tests.kafka.kept:kept", "KEPT": str(home / "seen")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", UP, "up", *given), env=environment, stdout=asyncio.subprocess.PIPE
    )
    said = ""
    while "Pipelines" not in said:
        said += await next_line(process) + "\n"
    kafka = re.search(r"^Kafka +(\S+)$", said, flags=re.MULTILINE)
    assert kafka
    return process, kafka[1]


async def test_a_try_with_up_goes_on_where_it_was(home: Path, jars: Jars) -> None:
    """Each record is in one run, also one that came while no daemon was there."""
    (home / "apache-kafka").mkdir()
    (home / "apache-kafka" / jars.libs.name).symlink_to(jars.libs)
    seen = home / "seen"
    for sent, all_seen in ((b"1", {"1"}), (b"2", {"1", "between", "2"})):
        process, servers = await up(home, "--kafka", "apache")
        try:
            await produce(servers, "kept", [sent])
            async with asyncio.timeout(60):
                while not seen.exists() or set(seen.read_text().split()) != all_seen:
                    await asyncio.sleep(0.05)
        finally:
            process.terminate()
            await asyncio.wait_for(process.communicate(), timeout=60)
        if sent == b"1":
            async with ApacheKafka(home, jars) as alone:
                await produce(alone, "kept", [b"between"])
    assert sorted(seen.read_text().split()) == ["1", "2", "between"]
