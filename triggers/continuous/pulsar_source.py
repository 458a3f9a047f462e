"""Reads Apache Pulsar: the one module that knows its client, which blocks, so every call is made in a thread.

A place is `LEDGER:ENTRY:INDEX` of a message id. A partition is begun at `earliest`, or at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from logging import getLogger
from typing import Any, TypeVar

import pulsar

from triggers.continuous import Found, Page, Shard
from triggers.continuous.pulsar import PulsarBatches
from triggers.errors import RecordsGone, SourceUnavailable
from triggers.ranges import ShardRange
from triggers.secret import resolve

T = TypeVar("T")

logger = getLogger(__name__)

_CALL_S = 15
_FIRST_MS, _NEXT_MS = 200, 2
_SILENT = 10


async def connect(trigger: PulsarBatches) -> PulsarSource:
    """Open a topic. Raises `SourceUnavailable`."""
    try:
        source = PulsarSource(trigger)
    except (pulsar.PulsarException, ValueError) as error:
        raise SourceUnavailable(f"Pulsar topic {trigger.stream}: {error}") from error
    try:
        await source.shards()
    except SourceUnavailable:
        await source.close()
        raise
    return source


class PulsarSource:
    """See `Source`."""

    def __init__(self, trigger: PulsarBatches) -> None:
        token = None if trigger.token is None else resolve(trigger.token, trigger.name)[0].decode()
        self._topic = trigger.stream
        self._client: Any = pulsar.Client(
            trigger.service,
            authentication=None if token is None else pulsar.AuthenticationToken(token),
            operation_timeout_seconds=_CALL_S,
            tls_trust_certs_file_path=trigger.ca_file,
            tls_validate_hostname=True,
            logger=logger,
        )
        self.account = trigger.cluster or trigger.service.rstrip("/")

    async def close(self) -> None:
        """See `Source`."""
        with suppress(pulsar.PulsarException):
            await asyncio.to_thread(self._client.close)

    async def call(self, work: Callable[[], T]) -> T:
        """Ask Pulsar. Raises `SourceUnavailable`."""
        try:
            return await asyncio.to_thread(work)
        except pulsar.PulsarException as error:
            raise SourceUnavailable(f"Pulsar topic {self._topic}: {error}") from error

    async def shards(self) -> Sequence[Shard]:
        """See `Source`. Partitions have no parents and never end."""
        names = await self.call(lambda: self._client.get_topic_partitions(self._topic))
        return [Shard(str(name)) for name in names]

    async def begin(self, shard: Shard, start: str) -> str:
        """See `Source`."""
        return f"time:{int(time.time() * 1000)}" if start == "latest" else "earliest"

    async def open(self, shard: str, position: str) -> PulsarReader:
        """See `Source`."""
        return PulsarReader(self, await self.call(lambda: self._reader(shard, position)))

    async def again(self, span: ShardRange) -> Sequence[Found]:
        """See `Source`."""
        if span.account != self.account:
            raise RecordsGone(f"records {span.first}-{span.last} of {span.shard}: they are of {span.account}")
        reader = PulsarReader(self, await self.call(lambda: self._reader(span.shard, span.first, inclusive=True)))
        found: list[Found] = []
        try:
            silent = 0
            while silent < _SILENT and not (found and _order(found[-1].place) >= _order(span.last)):
                page = await reader.page(span.count + 1)
                silent = 0 if page.records else silent + 1
                found += page.records
        finally:
            await reader.close()
        return [one for one in found if _order(one.place) <= _order(span.last)]

    def _reader(self, shard: str, position: str, *, inclusive: bool = False) -> Any:
        placed = ":" in position and not position.startswith("time:")
        start = _message_id(position) if placed else pulsar.MessageId.earliest
        reader = self._client.create_reader(shard, start, start_message_id_inclusive=inclusive)
        if position.startswith("time:"):
            reader.seek(int(position.removeprefix("time:")))
        return reader


class PulsarReader:
    """See `ShardReader`."""

    def __init__(self, source: PulsarSource, reader: Any) -> None:
        self._source = source
        self._reader = reader

    async def page(self, limit: int) -> Page:
        """See `ShardReader`."""
        return Page(await self._source.call(lambda: self._some(limit)))

    async def close(self) -> None:
        """See `ShardReader`."""
        with suppress(pulsar.PulsarException):
            await asyncio.to_thread(self._reader.close)

    def _some(self, limit: int) -> list[Found]:
        found: list[Found] = []
        while len(found) < limit:
            try:
                message = self._reader.read_next(timeout_millis=_NEXT_MS if found else _FIRST_MS)
            except pulsar.Timeout:
                break
            found.append(_found(message))
        return found


def _found(message: Any) -> Found:
    named = message.message_id()
    place = f"{named.ledger_id()}:{named.entry_id()}:{named.batch_index()}"
    key = message.partition_key()
    headers = tuple((name, value.encode()) for name, value in sorted(message.properties().items()))
    value = None if message.has_null_value() else message.data()
    return Found(place, message.publish_timestamp(), key.encode() if key else None, value, headers)


def _order(place: str) -> tuple[int, ...]:
    return tuple(map(int, place.split(":")))


def _message_id(place: str) -> Any:
    ledger, entry, index = _order(place)
    return pulsar.MessageId(-1, ledger, entry, index)
