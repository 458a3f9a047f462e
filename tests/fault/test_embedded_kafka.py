"""The embedded broker is new at each start, listens on loopback, and never outlives its daemon."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from service.embedded.kafka import EmbeddedKafka, executable
from service.errors import BrokerUnavailable
from tests.fault.processes import all_gone, descendants, kill_all, next_line, owner_of, running, server_gone


async def cluster_of(bootstrap_servers: str) -> str:
    """The id of the cluster that answers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        return str((await admin.describe_cluster())["cluster_id"])
    finally:
        await admin.close()


async def test_a_record_sent_to_a_partition_is_read_from_it(kafka: str, make_topic: Callable[[int], str]) -> None:
    topic = make_topic(3)
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        sent = await producer.send_and_wait(topic, b"arrived", partition=2)
    async with AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition(topic, 2)])
        read = await asyncio.wait_for(consumer.getone(), timeout=10)
    assert (read.partition, read.offset, read.value) == (2, sent.offset, b"arrived")


async def test_each_start_is_a_new_cluster_on_loopback(home: Path) -> None:
    clusters = set()
    for _ in range(2):
        async with EmbeddedKafka(home) as bootstrap_servers:
            assert bootstrap_servers.startswith("127.0.0.1:")
            clusters.add(await cluster_of(bootstrap_servers))
    assert len(clusters) == 2


async def test_a_kill_of_the_daemon_ends_the_broker(home: Path) -> None:
    async with owner_of("kafka", home) as daemon:
        await next_line(daemon)
        family = descendants(daemon.pid)
        assert len(family) == 2
        daemon.kill()
        await all_gone(family)


async def test_a_forked_child_that_outlives_the_daemon_keeps_neither_the_broker_nor_its_folder(home: Path) -> None:
    async with owner_of("forking", home) as daemon:
        await next_line(daemon)
        child = int(await next_line(daemon))
        daemon.kill()
        await daemon.wait()
        try:
            async with EmbeddedKafka(home) as bootstrap_servers:
                assert await cluster_of(bootstrap_servers)
                assert running([child])
        finally:
            kill_all([child])


async def test_stop_leaves_no_process_and_nothing_outside_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user_home = home / "user"
    user_home.mkdir()
    monkeypatch.setenv("HOME", str(user_home))
    others = set(descendants(os.getpid()))
    server = EmbeddedKafka(home)
    await server.start()
    started = set(descendants(os.getpid())) - others
    await server.stop()
    await all_gone(started)
    assert list(user_home.iterdir()) == []


async def test_a_second_owner_is_refused_and_told_who_the_first_is(home: Path) -> None:
    async with EmbeddedKafka(home):
        with pytest.raises(BrokerUnavailable, match=rf"in use by process {os.getpid()}.*TIDEMILL_HOME"):
            await EmbeddedKafka(home).start()


async def test_a_broker_that_dies_is_noticed(home: Path) -> None:
    others = set(descendants(os.getpid()))
    server = EmbeddedKafka(home)
    await server.start()
    watch = asyncio.ensure_future(server.watch())
    supervisor, broker = (pid for pid in descendants(os.getpid()) if pid not in others)
    os.kill(broker, signal.SIGKILL)
    with pytest.raises(BrokerUnavailable, match="exit code 137"):
        await asyncio.wait_for(watch, timeout=10)
    await all_gone([supervisor, broker])
    await server.stop()


async def test_a_killed_supervisor_frees_the_broker_for_the_next_start(home: Path) -> None:
    others = set(descendants(os.getpid()))
    server = EmbeddedKafka(home)
    await server.start()
    supervisor, _ = (pid for pid in descendants(os.getpid()) if pid not in others)
    os.kill(supervisor, signal.SIGKILL)
    with pytest.raises(BrokerUnavailable, match="ended"):
        await asyncio.wait_for(server.watch(), timeout=10)
    await server_gone(home / "kafka/server.lock")
    await server.stop()
    assert await server.start()
    await server.stop()


def test_a_program_that_lost_its_executable_bit_is_copied_into_the_folder(tmp_path: Path) -> None:
    packaged = tmp_path / "packaged"
    packaged.write_bytes(b"#!/bin/sh\n")
    packaged.chmod(0o600)
    copy = executable(packaged, tmp_path)
    assert copy.read_bytes() == b"#!/bin/sh\n"
    assert os.access(copy, os.X_OK)
    assert executable(copy, tmp_path) == copy
