"""Hosts one Faust application in our loop: no process, thread, signal, web server or file of its own, and an end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any

import faust
import orjson
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager

from triggers.errors import SourceUnavailable
from triggers.stream.driver import FollowsSource, RunMessage, StreamTransport, Wiring, faust_logger
from triggers.stream.windows import Row

logger = logging.getLogger(__name__)

_STOP_S = 10.0
_QUEUED_RUNS = 16
_CHANGELOG_MESSAGES = 131_072


class _Services(BootStrategy):
    """Neither Faust's leader election nor its replies: both bring topics of their own."""

    app: _App

    def kafka_consumer(self) -> Iterable[Any]:
        return [self.app.consumer]

    def kafka_producer(self) -> Iterable[Any]:
        return [self.app.producer] if self.app.wiring.changelog else []


class _App(faust.App):
    BootStrategy = _Services
    logger = faust_logger
    wiring: Wiring

    async def on_first_start(self) -> None:
        """Without the folder that Faust would create where the daemon was started."""

    async def _on_agent_error(self, agent: Any, exc: BaseException) -> None:
        """Faust would go on with the next record, and this one would be lost."""
        self.wiring.fail(exc)

    def _crash(self, reason: BaseException) -> None:
        """Faust would go on with what is left of it."""
        super()._crash(reason)
        self.wiring.fail(SourceUnavailable(f"Faust gave up, starting it anew: {reason!r}"))


class _Tables(TableManager):
    logger = faust_logger

    async def on_start(self) -> None:
        """Without the second in which others might still declare a table."""
        await self._update_channels()
        await self.recovery.start()


class _Table(faust.Table[bytes, bytes]):
    logger = faust_logger

    def partition_for_key(self, key: bytes) -> int:
        """Rows are written outside of Faust's iteration, where it would not know their partition."""
        return int(key.partition(b"/")[0])


class StreamHost:
    """One Faust application: an agent that is handed runs of records, and a table whose rows have a changelog.

    The table mirrors the rows of open windows, and is what a later owner of a partition may find and check.
    """

    def __init__(self, group: str, wiring: Wiring, fold: Callable[[RunMessage], Awaitable[None]]) -> None:
        self._wiring = wiring
        self._app = _new_app(group, wiring)
        self._table = _new_table(self._app, wiring.changelog) if wiring.changelog else None

        async def folding(stream: Any) -> None:
            async for event in stream.events():
                await fold(event.message)

        source = self._app.topic(wiring.topic, acks=False, **_RAW)
        self._app.agent(source, name="folding")(folding)
        self._app.finalize()

    async def run(self) -> None:
        """Run the application until cancelled. What goes wrong in it is told to `Wiring.fail`."""
        try:
            await self._app.start()
            await asyncio.Event().wait()
        finally:
            await self._stop()

    def rows(self, partition: int) -> Iterator[tuple[int, bytes, str, Row]]:
        """What the table holds of a partition: window, key, shape and row of each."""
        for at, value in list(self._table.items()) if self._table is not None else ():
            number, start_ms, key = at.split(b"/", 2)
            if int(number) == partition:
                shape, *row = orjson.loads(value)
                yield int(start_ms), key, shape, Row(*row)

    def put_row(self, partition: int, start_ms: int, key: bytes, shape: str, row: Row) -> None:
        """Have the table hold a row as it is now. Durable after `flush`, perhaps."""
        if self._table is not None:
            value = orjson.dumps([shape, row.first, row.last, row.count, row.states])
            self._table[_table_key(partition, start_ms, key)] = value

    def drop_row(self, partition: int, start_ms: int, key: bytes) -> None:
        """Have the table forget a row, if it holds it."""
        at = _table_key(partition, start_ms, key)
        if self._table is not None and at in self._table:
            del self._table[at]

    async def flush(self) -> None:
        """Give the broker a few seconds to take what was put and dropped."""
        if self._table is not None:
            await self._app.producer.flush()

    async def _stop(self) -> None:
        """Faust swallows cancellations while it stops, so it stops in a task that gets none."""
        async with asyncio.TaskGroup() as group:
            stopping = group.create_task(self._app.stop())
            await asyncio.wait([stopping], timeout=_STOP_S)
            if not stopping.done():
                logger.warning("Faust does not stop within %g s: cancelling what it does", _STOP_S)
                for node in self._app.beacon.traverse():
                    for work in getattr(node.data, "_futures", ()):
                        work.cancel()


_RAW: Mapping[str, Any] = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}


def _new_app(group: str, wiring: Wiring) -> faust.App:
    app = _App(
        group,
        loop=asyncio.get_running_loop(),
        # Settings are ours alone: Faust would read them from the environment too.
        env={},
        autodiscover=False,
        web_enabled=False,
        store="memory://",
        PartitionAssignor=FollowsSource,
        TableManager=_Tables,
        table_standby_replicas=0,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=_QUEUED_RUNS,
    )
    app.wiring = wiring
    app.transport = app.producer_transport = StreamTransport(app, wiring)
    return app


def _new_table(app: faust.App, changelog: str) -> _Table:
    topic = app.topic(changelog, acks=False, allow_empty=True, maxsize=_CHANGELOG_MESSAGES, **_RAW)
    table = _Table(app, name="windows", key_type=bytes, value_type=bytes, changelog_topic=topic)
    app.tables.add(table)
    return table


def _table_key(partition: int, start_ms: int, key: bytes) -> bytes:
    return b"%d/%d/%b" % (partition, start_ms, key)
