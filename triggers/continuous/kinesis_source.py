"""Reads Amazon Kinesis: the one module that knows its client.

A place is a sequence number. A shard is begun at `trim` (its oldest record) or at a time, never at a moving end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any

from aiobotocore.session import get_session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from triggers.continuous import Found, Page, Shard
from triggers.continuous.kinesis import KinesisBatches
from triggers.errors import RecordsGone, SourceUnavailable
from triggers.ranges import ShardRange

_MOST = 10_000
_IDLE_S = 0.25  # Kinesis answers five reads of a shard in a second, of all its readers together
_CALL_S = 15.0
_TRIES = 600
_TROUBLE = (BotoCoreError, ClientError, OSError, TimeoutError)
_EXPIRED = "ExpiredIteratorException"
_BUSY = {"ProvisionedThroughputExceededException", "LimitExceededException", "KMSThrottlingException"}
_GONE = {"ResourceNotFoundException", "InvalidArgumentException"}


async def connect(trigger: KinesisBatches) -> KinesisSource:
    """Open a stream. Raises `SourceUnavailable`."""
    stack = AsyncExitStack()
    timeouts = Config(connect_timeout=5, read_timeout=_CALL_S, retries={"max_attempts": 3, "mode": "standard"})
    making = get_session().create_client(
        "kinesis", region_name=trigger.region, endpoint_url=trigger.endpoint, config=timeouts
    )
    try:
        client = await stack.enter_async_context(making)
        told = (await client.describe_stream_summary(StreamName=trigger.stream))["StreamDescriptionSummary"]
    except (*_TROUBLE, ValueError) as error:  # it is a ValueError where an endpoint is none
        await stack.aclose()
        raise SourceUnavailable(_note(trigger.stream, error)) from error
    made_at = told["StreamCreationTimestamp"]
    return KinesisSource(stack, client, told["StreamARN"], f"{told['StreamARN']}~{int(made_at.timestamp())}")


def _note(stream: str, error: BaseException) -> str:
    return f"Kinesis stream {stream}: {str(error) or type(error).__name__}"


def _code(error: BaseException) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""


class KinesisSource:
    """See `Source`."""

    def __init__(self, stack: AsyncExitStack, client: Any, arn: str, account: str) -> None:
        self._stack = stack
        self._client = client
        self._arn = arn
        self.account = account

    async def close(self) -> None:
        """See `Source`."""
        await self._stack.aclose()

    async def call(self, name: str, **given: Any) -> Mapping[str, Any]:
        """Ask Kinesis. Raises `SourceUnavailable`, or `ClientError` for what it refuses."""
        try:
            async with asyncio.timeout(2 * _CALL_S):
                answer: Mapping[str, Any] = await getattr(self._client, name)(StreamARN=self._arn, **given)
        except ClientError as error:
            if _code(error) in _GONE | _BUSY | {_EXPIRED}:
                raise
            raise SourceUnavailable(_note(self._arn, error)) from error
        except _TROUBLE as error:
            raise SourceUnavailable(_note(self._arn, error)) from error
        return answer

    async def shards(self) -> Sequence[Shard]:
        """See `Source`."""
        found: list[Shard] = []
        more: dict[str, Any] = {}
        while True:
            try:
                answer = await self.call("list_shards", **more)
            except ClientError as error:
                raise SourceUnavailable(_note(self._arn, error)) from error
            found += map(_shard, answer["Shards"])
            if not answer.get("NextToken"):
                return found
            more = {"NextToken": answer["NextToken"]}

    async def begin(self, shard: Shard, start: str) -> str:
        """See `Source`. What a reshard made is begun at its oldest record: its parents were read until there."""
        if start == "latest" and not shard.parents:
            return f"time:{time.time():.3f}"
        return "trim"

    async def open(self, shard: str, position: str) -> KinesisReader:
        """See `Source`."""
        reader = KinesisReader(self, shard, position)
        await reader.seek()
        return reader

    async def again(self, span: ShardRange) -> Sequence[Found]:
        """See `Source`."""
        if span.account != self.account:
            raise RecordsGone(f"{_named(span)}: their stream {span.account} was replaced by {self.account}")
        reader = KinesisReader(self, span.shard, "")
        found: list[Found] = []
        try:
            await reader.seek(ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber=span.first)
            for _ in range(_TRIES):
                page = await reader.page(_MOST)
                found += [one for one in page.records if int(one.place) <= int(span.last)]
                if page.ended or (page.records and int(page.records[-1].place) >= int(span.last)):
                    break
        except ClientError as error:
            raise RecordsGone(f"{_named(span)}: Kinesis no longer has them: {error}") from error
        return found


class KinesisReader:
    """See `ShardReader`. An iterator that has expired is made anew behind the last record seen."""

    def __init__(self, source: KinesisSource, shard: str, position: str) -> None:
        self._source = source
        self._shard = shard
        self._position = position
        self._iterator: str | None = None

    async def seek(self, **where: Any) -> None:
        """Stand where the position says, or `where`. Raises `ClientError` for what cannot be read."""
        given = where or _where(self._position)
        answer = await self._source.call("get_shard_iterator", ShardId=self._shard, **given)
        self._iterator = answer["ShardIterator"]

    async def page(self, limit: int) -> Page:
        """See `ShardReader`."""
        if self._iterator is None:
            return Page((), ended=True)
        try:
            answer = await self._source.call("get_records", ShardIterator=self._iterator, Limit=min(limit, _MOST))
        except ClientError as error:
            return await self._refused(error)
        self._iterator = answer.get("NextShardIterator")
        records = [_found(one) for one in answer["Records"]]
        if records:
            self._position = records[-1].place
        elif self._iterator is not None:
            await asyncio.sleep(_IDLE_S)
        return Page(records, ended=self._iterator is None)

    async def close(self) -> None:
        """See `ShardReader`."""

    async def _refused(self, error: ClientError) -> Page:
        if _code(error) in _BUSY:
            await asyncio.sleep(1.0)
        elif _code(error) == _EXPIRED and self._position:
            await self.seek()
        else:
            raise SourceUnavailable(_note(self._shard, error)) from error
        return Page(())


def _where(position: str) -> dict[str, Any]:
    if position == "trim":
        return {"ShardIteratorType": "TRIM_HORIZON"}
    if position.startswith("time:"):
        return {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": float(position.removeprefix("time:"))}
    return {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": position}


def _shard(told: Mapping[str, Any]) -> Shard:
    parents = (told.get("ParentShardId"), told.get("AdjacentParentShardId"))
    return Shard(told["ShardId"], frozenset(one for one in parents if one))


def _found(told: Mapping[str, Any]) -> Found:
    arrived = told.get("ApproximateArrivalTimestamp")
    timestamp = -1 if arrived is None else int(arrived.timestamp() * 1000)
    return Found(told["SequenceNumber"], timestamp, told["PartitionKey"].encode(), told["Data"])


def _named(span: ShardRange) -> str:
    return f"records {span.first}-{span.last} of {span.stream}/{span.shard}"
