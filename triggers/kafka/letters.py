"""Dead records on their way to a dead-letter topic: at least once, whatever crashes.

A letter is a position of its own in the inbox. It is written in the transaction that accepts the dead event and moves
the partition on, and dropped after the broker has confirmed the copy. Whoever reads the partition next finds what is
left of them. The copy holds the record's own key, value and headers, so nothing need be read again.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from aiokafka.errors import MessageSizeTooLargeError

from triggers import faults
from triggers.base import Clock, Inbox, KafkaAccess, Position
from triggers.errors import InboxBusy, SourceUnavailable
from triggers.kafka.client import TROUBLE, BrokerLink, create_topics, trouble_note, writing_producer

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer, ConsumerRecord

MOST_WAITING = 1000
MOST_WAITING_BYTES = 16 * 1024 * 1024
_LARGEST_BYTES = 64 * 1024 * 1024
_RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead record for `target`. `place` is where the inbox holds it, `body` what it holds there."""

    place: tuple[str, str]
    body: str

    @property
    def position(self) -> Position:
        """As it is written with the event."""
        return Position(*self.place, self.body)

    @property
    def dropped(self) -> Position:
        """As it is dropped."""
        return Position(*self.place, "")

    @property
    def target(self) -> str:
        """The topic it is for."""
        return str(orjson.loads(self.body)["target"])


def letters_of(
    record: ConsumerRecord, scope: str, event_id: str, reason: str, targets: Collection[str]
) -> list[Letter]:
    """One letter for each target. Headers are kept in their order; ours come after them and say where it was."""
    told = {"reason": reason, "topic": record.topic, "partition": record.partition, "offset": record.offset}
    ours = {**told, "timestamp": record.timestamp, "event": event_id}
    body = {
        "key": _encoded(record.key),
        "value": _encoded(record.value),
        "headers": [
            *([name, _encoded(raw)] for name, raw in record.headers or ()),
            *([f"tidemill-{name}", _encoded(str(value).encode())] for name, value in ours.items()),
        ],
    }
    return [
        Letter((scope, f"{record.offset}/{target}"), orjson.dumps({"target": target, **body}).decode())
        for target in sorted(targets)
    ]


def scope_of(reading: str, topic: str, partition: int) -> str:
    """Where the inbox holds the letters of a partition."""
    return f"{reading}:dead:{topic}/{partition}"


class DeadLetters:
    """Forwards letters, in the order they were put. While a thousand wait, or 16 MiB, there is no room for more."""

    def __init__(self, access: KafkaAccess, inbox: Inbox, clock: Clock, targets: Collection[str]) -> None:
        self._access = access
        self._inbox = inbox
        self._clock = clock
        self._targets = sorted(targets)
        self._waiting: dict[tuple[str, str], Letter] = {}
        self._some = asyncio.Event()
        self._fewer = asyncio.Event()
        self.note = ""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, letters: Sequence[Letter]) -> None:
        """Forward these, which the inbox holds."""
        self._waiting.update((one.place, one) for one in letters)
        if self._waiting:
            self._some.set()

    async def take_over(self, scope: str) -> None:
        """Forward what somebody left of a partition. Raises `InboxBusy`."""
        held: Mapping[str, str] = await self._inbox.positions(scope)
        self.put([Letter((scope, key), body) for key, body in held.items()])

    async def room(self) -> None:
        """Wait until more may be put."""
        while len(self) >= MOST_WAITING or sum(len(one.body) for one in self._waiting.values()) > MOST_WAITING_BYTES:
            self._fewer.clear()
            await self._fewer.wait()

    async def run(self) -> None:
        """Forward until cancelled."""
        while True:
            await self._some.wait()
            try:
                await self._forward()
                self.note = ""
            except TROUBLE as error:
                self.note = f"{len(self)} dead records wait to be forwarded: {trouble_note(self._access, error)}"
            except InboxBusy as error:
                self.note = f"forwarded dead records cannot be ticked off now: {error}"
            if self._waiting:
                await self._clock.sleep(_RETRY_S)

    async def _forward(self) -> None:
        await self._check_targets()
        producer = writing_producer(self._access, largest_bytes=_LARGEST_BYTES)
        try:
            await producer.start()
            while self._waiting:
                letters = list(self._waiting.values())[:MOST_WAITING]
                await faults.reach("letters.send")
                async with asyncio.TaskGroup() as group:
                    for letter in letters:
                        group.create_task(_send(producer, orjson.loads(letter.body)))
                await faults.reach("letters.sent")
                await self._inbox.accept([], [one.dropped for one in letters])
                for one in letters:
                    del self._waiting[one.place]
                self._fewer.set()
            self._some.clear()
        except* TROUBLE as errors:
            raise SourceUnavailable(trouble_note(self._access, _first(errors))) from None
        finally:
            await producer.stop()

    async def _check_targets(self) -> None:
        link = BrokerLink(self._access)
        try:
            await link.open()
            missing = sorted((await link.look(self._targets)).absent)
        finally:
            await link.close()
        if missing and self._access.create_topics:
            await create_topics(self._access, missing)
        elif missing:
            servers = self._access.bootstrap_servers
            raise SourceUnavailable(f"broker {servers} has no topic {missing[0]!r} for dead records: create it")


async def _send(producer: AIOKafkaProducer, body: Mapping[str, Any]) -> None:
    headers = [(name, _decoded(raw)) for name, raw in body["headers"]]
    key, value = _decoded(body["key"]), _decoded(body["value"])
    if key is None and value is None:
        # The client sends no record without either.
        value, headers = b"", [*headers, ("tidemill-left-out", b"nothing: the value was null")]
    try:
        await producer.send_and_wait(body["target"], value, key=key, headers=headers)
    except MessageSizeTooLargeError:
        left_out = ("tidemill-left-out", b"a value of %d bytes, more than this topic takes" % len(value or b""))
        await producer.send_and_wait(body["target"], b"", key=key, headers=[*headers, left_out])


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _encoded(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(raw).decode()


def _decoded(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
