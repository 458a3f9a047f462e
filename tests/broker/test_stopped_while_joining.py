"""A member that is stopped while its group has not answered its joining yet has left it, and keeps nobody waiting."""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient

from tests.broker.seam import PATIENCE_S, RecordingInbox, RestartableBroker, create_topic, listener_of, listening
from triggers import KafkaArrivals
from triggers.base import KafkaAccess

JOIN_GROUP = 11


class Waiting:
    """The way to a broker on which those who join are named, and then go unanswered as behind a slower member."""

    def __init__(self) -> None:
        self.broker = ""
        self.held = asyncio.Event()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what comes over one connection, and no answer after a joining."""
        host, port = self.broker.split(":")
        answers, questions = await asyncio.open_connection(host, int(port))
        async with asyncio.TaskGroup() as ways:
            back = ways.create_task(pass_on(answers, writer))
            try:
                while True:
                    size = await reader.readexactly(4)
                    frame = await reader.readexactly(struct.unpack(">i", size)[0])
                    if joins(frame):
                        back.cancel()
                        self.held.set()
                    questions.write(size + frame)
                    await questions.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                back.cancel()
        for end in (questions, writer):
            end.close()


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()


def joins(frame: bytes) -> bool:
    """Whether one who was named joins: after key, version, number, client and group come two times and the name."""
    if struct.unpack_from(">h", frame)[0] != JOIN_GROUP:
        return False
    at = 8
    for _ in range(2):
        at += 2 + int(struct.unpack_from(">h", frame, at)[0])
    return bool(struct.unpack_from(">h", frame, at + 8)[0])


async def members(servers: str, group: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        [answer] = await admin.describe_consumer_groups([group])
        return len(answer.to_object()["groups"][0]["members"])
    finally:
        await admin.close()


async def test_a_member_that_is_stopped_while_it_joins_has_left_its_group(home: Path) -> None:
    way = Waiting()
    async with await asyncio.start_server(way.connected, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        broker = RestartableBroker(home, advertised=f"127.0.0.1:{port}")
        way.broker = broker.servers
        await broker.start()
        try:
            servers = f"127.0.0.1:{port}"
            await create_topic(servers, "t")
            access = KafkaAccess(servers, session_s=60.0)
            async with listening(listener_of([KafkaArrivals("t")], access, RecordingInbox())):
                await way.held.wait()
                async with asyncio.timeout(PATIENCE_S):
                    while await members(servers, "tidemill.arrivals") != 1:
                        await asyncio.sleep(0.01)
            assert await members(servers, "tidemill.arrivals") == 0
        finally:
            await broker.stop()
