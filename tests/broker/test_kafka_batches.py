"""Every record in exactly one batch, however the group and the daemons come and go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from tests.broker.seam import (
    Door,
    Killed,
    RecordingInbox,
    access_to,
    death_of,
    listener_of,
    listening,
    produce,
    producing,
)
from triggers import KafkaBatches
from triggers.base import Fate, KafkaAccess, OffsetRange
from triggers.errors import InboxBusy
from triggers.kafka.batch_positions import offset_of
from triggers.kafka.range_reader import RangeReader


def spans(ranges: Iterable[OffsetRange]) -> list[tuple[int, int, int]]:
    """First offset, last offset and count of each, in the order of their offsets."""
    return sorted((one.first, one.last, one.count) for one in ranges)


def covered(ranges: Iterable[OffsetRange]) -> dict[int, list[int]]:
    """The offsets in all batches, by partition; one that is in two batches is there twice."""
    found: dict[int, list[int]] = {}
    for one in ranges:
        assert one.count == one.last - one.first + 1
        found.setdefault(one.partition, []).extend(range(one.first, one.last + 1))
    return {partition: sorted(offsets) for partition, offsets in found.items()}


async def test_a_batch_closes_when_it_is_full_or_has_waited(kafka: str, topic: str) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    await produce(kafka, topic, [b"not json \xff"] * 25)
    trigger = KafkaBatches(topic, max_records=10, max_wait_s=0.2, where={"data.count": [10, 5]})
    async with listening(listener_of([trigger], access, inbox)):
        arrivals = await inbox.until_events(3)
    assert spans(inbox.ranges()) == [(0, 9, 10), (10, 19, 10), (20, 24, 5)]
    group = f"{access.group_prefix}.batches.p0/{trigger.name}"
    ((scope, key),) = inbox.stored
    assert (scope.split(":", 2)[2], key, offset_of(inbox.stored[scope, key])) == (group, f"{topic}/0", 25)
    event = arrivals[0].event
    assert (event.source, event.id) == (f"kafka:{scope.split(':')[1]}/{topic}", f"{group}:0/0-9")
    assert (event.type, event.subject) == ("dev.tidemill.kafka.batch", f"{topic}/0")
    assert [offer.fate for arrival in arrivals for offer in arrival.offers] == [Fate.RAN] * 3


async def test_each_binding_gets_batches_of_its_own(kafka: str, topic: str) -> None:
    inbox = RecordingInbox()
    await produce(kafka, topic, [b"x"] * 20)
    triggers = [KafkaBatches(topic, max_records=20, max_wait_s=9), KafkaBatches(topic, max_records=5, max_wait_s=9)]
    async with listening(listener_of(triggers, access_to(kafka), inbox)):
        arrivals = await inbox.until_events(5)
    by_pipeline = [
        [OffsetRange.of(arrival.event) for arrival in arrivals if arrival.offers[0].pipeline == pipeline]
        for pipeline in ("p0", "p1")
    ]
    assert [spans(ranges) for ranges in by_pipeline] == [
        [(0, 19, 20)],
        [(0, 4, 5), (5, 9, 5), (10, 14, 5), (15, 19, 5)],
    ]


async def test_a_kill_around_the_commit_neither_loses_nor_doubles(kafka: str, make_topic: Callable[..., str]) -> None:
    before, after = RecordingInbox(), RecordingInbox()
    before.refuse.append(Killed())
    after.die_after.append(Killed())

    async def die_and_live_on(inbox: RecordingInbox) -> None:
        access, trigger = access_to(kafka), KafkaBatches(make_topic(), max_records=10, max_wait_s=0.1)
        await produce(kafka, trigger.topic, [b"x"] * 25)
        await death_of(listener_of([trigger], access, inbox))
        async with listening(listener_of([trigger], access, inbox)):
            await inbox.until(lambda: [offset_of(one) for one in inbox.stored.values()] == [25])

    await asyncio.gather(die_and_live_on(before), die_and_live_on(after))
    assert covered(before.ranges()) == covered(after.ranges()) == {0: list(range(25))}
    assert before.repeats == after.repeats == 0


async def test_twenty_thousand_records_are_each_in_one_batch_while_members_come_and_go(
    kafka: str, make_topic: Callable[..., str]
) -> None:
    inbox, access, topic = RecordingInbox(), access_to(kafka), make_topic(4)
    inbox.refuse += [InboxBusy("busy", retry_after_s=0.01) for _ in range(5)]
    trigger = KafkaBatches(topic, max_records=100, max_wait_s=0.05)
    calm = asyncio.Event()

    async def write() -> None:
        """A little all the time while members come and go, then all the rest."""
        async with producing(kafka) as producer:
            for number in range(5000):
                for partition in range(4):
                    await producer.send(topic, b"%d" % number, partition=partition)
                if not calm.is_set() and number % 50 == 0:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(calm.wait(), 0.1)

    async with asyncio.TaskGroup() as members:
        steady = members.create_task(listener_of([trigger], access, inbox).run())
        members.create_task(write())
        for _ in range(2):
            door = Door(inbox)
            guest = members.create_task(listener_of([trigger], access, door).run())
            await inbox.until(lambda door=door: door.accepted > 3)
            guest.cancel()
        calm.set()
        await inbox.until(lambda: sum(one.count for one in inbox.ranges()) >= 20_000)
        steady.cancel()

    assert covered(inbox.ranges()) == {partition: list(range(5000)) for partition in range(4)}
    assert inbox.repeats == 0
    await all_read_back(access, inbox)


async def all_read_back(access: KafkaAccess, inbox: RecordingInbox) -> None:
    """Read one batch of each partition again: it holds the records of its offsets."""
    reader = RangeReader(access)
    picked = {one.partition: one for one in inbox.ranges()}
    for one in picked.values():
        values = [record.value for record in await reader.read(one)]
        assert values == [b"%d" % offset for offset in range(one.first, one.last + 1)]
    await reader.close()
