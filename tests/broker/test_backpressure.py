"""While what Kafka waits for is away: no rebalance, no more memory, the other topics go on; then all of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.broker.seam import RecordingInbox, access_to, listener_of, listening, produce, producing, told
from tests.unit.test_schema_registry import Server, framed, server
from triggers import KafkaArrivals
from triggers.base import KafkaAccess, ListenerState, RegistryAccess
from triggers.errors import InboxBusy
from triggers.kafka import arrivals
from triggers.kafka.arrivals import ArrivalsListener

__all__ = ["server"]


def with_registry(access: KafkaAccess, server: Server) -> KafkaAccess:
    from dataclasses import replace

    return replace(access, registry=RegistryAccess(server.url))


def coordinator(listener: ArrivalsListener) -> tuple[str, int]:
    """Which member of its group the listener is, and of which generation: both change with a rebalance."""
    assert listener._reader is not None
    member = listener._reader._consumer._coordinator
    return member.member_id, member.generation


async def test_framed_records_wait_for_the_registry_in_order_and_others_do_not(
    kafka: str, make_topic: Callable[..., str], server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "_REGISTRY_RETRY_S", 0.2)
    inbox, framed_topic, plain = RecordingInbox(), make_topic(), make_topic()
    server.broken = 503
    listener = listener_of(
        [KafkaArrivals(framed_topic, value="registry"), KafkaArrivals(plain)],
        with_registry(access_to(kafka), server),
        inbox,
    )
    await produce(kafka, framed_topic, [framed(3, b"%d" % number) for number in range(50)])
    async with listening(listener):
        assert "answers 503: Kafka waits" in await told(listener, ListenerState.RETRYING)
        for life in (1, 2, 3):
            await produce(kafka, plain, [b"true"] * 10)
            await inbox.until_events(10 * life)
        await produce(kafka, framed_topic, [framed(3, b"%d" % number) for number in range(50, 100)])
        server.broken = None
        await inbox.until_events(130)
        await told(listener, ListenerState.LISTENING)
    found = [one.event.data for one in inbox.events.values() if one.event.source.endswith(framed_topic)]
    assert found == list(range(100))


async def test_a_long_wait_for_the_inbox_is_no_rebalance_and_fetches_no_more(
    kafka: str, make_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four times as long as a silent member would be thrown out."""
    inbox, topic = RecordingInbox(), make_topic(2)
    listener = listener_of([KafkaArrivals(topic)], access_to(kafka), inbox)
    assert isinstance(listener, ArrivalsListener)
    take, open_door, tries = inbox.accept, asyncio.Event(), 0

    async def accept(*asked: object, **more: object) -> object:
        nonlocal tries
        if not open_door.is_set():
            tries += 1
            raise InboxBusy("Postgres does not take writes now", retry_after_s=0.05)
        return await take(*asked, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(inbox, "accept", accept)
    value = b'"%s"' % (b"x" * 100_000)
    async with listening(listener):
        await told(listener, ListenerState.LISTENING)
        await produce(kafka, topic, [value] * 5)
        await told(listener, ListenerState.RETRYING)
        before = coordinator(listener)
        async with producing(kafka) as producer:
            for number in range(400):
                await producer.send(topic, value, partition=number % 2)
        await asyncio.sleep(8)
        assert tries > 50
        assert coordinator(listener) == before
        assert listener._reader is not None
        consumer = listener._reader._consumer
        assert consumer.paused() == consumer.assignment() != set()
        # What the client holds of each partition: one fetch, and so a megabyte or so.
        assert len(consumer._fetcher._records) <= 2
        open_door.set()
        await inbox.until_events(405)
        assert coordinator(listener) == before
    assert inbox.repeats == 0
    offsets = [tuple(map(int, one.event.id.split("/"))) for one in inbox.events.values()]
    for partition in (0, 1):
        mine = [offset for at, offset in offsets if at == partition]
        assert mine == list(range(len(mine)))
