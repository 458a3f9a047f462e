"""What the daemon lends a worker: the model registry and the reader of records, by message.

The worker's side asks (`LentRegistry`, `LentReader`); the daemon's side answers (`answer`).
"""

from __future__ import annotations

import asyncio
import itertools
import struct
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

import orjson

from stages.errors import StageError
from stages.outcome import Failed, guarded
from stages.registry import AliasMoved, ModelVersion, NewVersion, Registry
from stages.runners.base import RunnerTools
from stages.workers.wire import Message, pack
from triggers.base import AnyRange, OffsetRange, Record, RecordReader, range_of_fields
from triggers.errors import RecordsGone, SourceUnavailable

_KNOWN: Mapping[str, type[Exception]] = {
    f"{kind.__module__}.{kind.__qualname__}": kind for kind in (AliasMoved, RecordsGone, SourceUnavailable)
}
_SIZES = struct.Struct(">qqiii")


class Asking:
    """The worker's side of questions: any thread asks, the thread that hears the daemon passes on the answers."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._numbers = itertools.count()
        self._open: dict[int, Future[Message]] = {}

    async def ask(self, what: str, **given: Any) -> Message:
        """The daemon's answer. Raises what the daemon's own call raised, by its name if not by its type."""
        return _checked(await asyncio.wrap_future(self._asked(what, given)))

    def ask_and_block(self, what: str, **given: Any) -> Message:
        """The same for a thread that may wait: any but the one that hears the daemon."""
        return _checked(self._asked(what, given).result())

    def _asked(self, what: str, given: Mapping[str, Any]) -> Future[Message]:
        number, future = next(self._numbers), Future[Message]()
        self._open[number] = future
        self._send(pack("ask", number=number, what=what, given=given))
        return future

    def answered(self, answer: Message) -> None:
        """Hand an answer to whoever waits for it."""
        future = self._open.pop(answer.head["number"])
        with suppress(InvalidStateError):  # who asked was cancelled
            future.set_result(answer)


def _checked(answer: Message) -> Message:
    if (error := answer.head.get("error")) is not None:
        raise _raised(error)
    return answer


class LentRegistry:
    """The daemon's model registry, in a worker. See `Registry`."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def register(self, new: NewVersion, *, idempotency_key: str) -> ModelVersion:
        """See `Registry`."""
        return _version(await self._asking.ask("register", new=new, idempotency_key=idempotency_key))

    async def alias(self, model: str, alias: str) -> ModelVersion | None:
        """See `Registry`."""
        answer = await self._asking.ask("alias", model=model, alias=alias)
        return _version(answer) if answer.body != b"null" else None

    async def move_alias(self, model: str, alias: str, version: int, *, expect: int | None) -> ModelVersion:
        """See `Registry`."""
        return _version(await self._asking.ask("move_alias", model=model, alias=alias, version=version, expect=expect))


class LentReader:
    """The daemon's reader of Kafka records, in a worker. See `RecordReader`."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def read(self, offsets: AnyRange) -> Sequence[Record]:
        """See `RecordReader`."""
        answer = await self._asking.ask("records", offsets=offsets)
        return unpack_records(offsets, answer.head, answer.body)


async def answer(question: Message, tools: RunnerTools) -> bytes:
    """The daemon's side: the answer to an `ask`, packed."""
    number = question.head["number"]
    found = await guarded(_found(question.head["what"], question.head["given"], tools))
    if isinstance(found, Failed):
        return pack("answer", number=number, error=asdict(found.error))
    body, head = found
    return pack("answer", body, number=number, **head)


async def _found(what: str, given: dict[str, Any], tools: RunnerTools) -> tuple[bytes, dict[str, Any]]:
    if what == "records":
        return await _read(given, tools)
    return await _looked_up(what, given, _lent(tools.registry)), {}


async def _looked_up(what: str, given: dict[str, Any], registry: Registry) -> bytes:
    if what == "register":
        new = NewVersion(**given["new"])
        return orjson.dumps(await registry.register(new, idempotency_key=given["idempotency_key"]), default=dict)
    if what == "alias":
        return orjson.dumps(await registry.alias(**given), default=dict)
    return orjson.dumps(await registry.move_alias(**given), default=dict)


async def _read(given: dict[str, Any], tools: RunnerTools) -> tuple[bytes, dict[str, Any]]:
    return await read_packed(range_of_fields(given["offsets"]), _lent(tools.reader))


async def read_packed(offsets: AnyRange, reader: RecordReader) -> tuple[bytes, dict[str, Any]]:
    """Records for another process: their bytes, and what `unpack_records` needs beside them."""
    return await asyncio.to_thread(_pack_records, await reader.read(offsets))


def _lent(tool: Any) -> Any:
    if tool is None:
        raise StageError("this daemon does not lend that")
    return tool


def _pack_records(records: Sequence[Record]) -> tuple[bytes, dict[str, Any]]:
    """Records as one body; the headers of those that have any, and their places, are in the head."""
    parts: list[bytes] = []
    headers: dict[str, list[tuple[str, str | None]]] = {}
    for number, one in enumerate(records):
        key, value = one.key or b"", one.value or b""
        missing = (one.key is None) + 2 * (one.value is None)
        parts += (_SIZES.pack(one.offset, one.timestamp_ms, len(key), len(value), missing), key, value)
        if one.headers:
            headers[str(number)] = [(name, _decoded(content)) for name, content in one.headers]
    return b"".join(parts), {"headers": headers, "places": [one.place for one in records if one.place]}


def unpack_records(offsets: AnyRange, head: Mapping[str, Any], body: bytes) -> Sequence[Record]:
    """The records that `read_packed` packed."""
    topic, partition = (offsets.topic, offsets.partition) if isinstance(offsets, OffsetRange) else (offsets.stream, 0)
    headers, places = head["headers"], head["places"]
    records: list[Record] = []
    at = 0
    while at < len(body):
        offset, timestamp_ms, key_bytes, value_bytes, missing = _SIZES.unpack_from(body, at)
        at += _SIZES.size
        key, value = body[at : at + key_bytes], body[at + key_bytes : at + key_bytes + value_bytes]
        at += key_bytes + value_bytes
        number = len(records)
        has = tuple((name, _encoded(content)) for name, content in headers.get(str(number), ()))
        left_key, left_value = (None if missing & 1 else key), (None if missing & 2 else value)
        place = places[number] if places else ""
        records.append(Record(topic, partition, offset, timestamp_ms, left_key, left_value, has, place))
    return records


def _decoded(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")


def _encoded(header: str | None) -> Any:
    return None if header is None else header.encode("latin-1")


def _version(answer: Message) -> ModelVersion:
    plain = orjson.loads(answer.body)
    return ModelVersion(**plain | {"created_at": datetime.fromisoformat(plain["created_at"])})


def _raised(told: Mapping[str, Any]) -> Exception:
    """The daemon's error. A type that stages do not know is only named here, with what decides on trying again."""
    module, _, name = told["type"].rpartition(".")
    error = _KNOWN.get(told["type"], type(name, (StageError,), {"__module__": module or "builtins"}))(told["message"])
    if isinstance(error, StageError):
        error.transient, error.retry_after_s = told["transient"], told["retry_after_s"]
    return error
