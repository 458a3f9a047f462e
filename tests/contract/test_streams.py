"""One contract for every stream that is read in micro-batches: each record in one batch, read again exactly."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest

from tests.broker.seam import Door, Killed, RecordingInbox, access_to, death_of, listener_of, listening
from tests.contract.streams import CREDENTIALS, KafkaStream, PulsarStream, Stream, kinesis_stream
from triggers.base import Fate, Listener, RecordKeeper
from triggers.errors import InboxBusy, RecordsGone
from triggers.micro_batches import MicroBatches
from triggers.ranges import AnyRange, range_of_event

# No package of Python's has a broker of Pulsar, so that one is asked where somebody has started it.
KINDS = ["kafka", "kinesis", *(["pulsar"] if "TEST_PULSAR" in os.environ else [])]


@pytest.fixture(params=KINDS)
async def stream(
    request: pytest.FixtureRequest, make_topic: Callable[..., str], kafka: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Stream]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    if request.param == "kafka":
        yield KafkaStream(kafka, make_topic())
    elif request.param == "pulsar":
        yield PulsarStream(os.environ["TEST_PULSAR"])
    else:
        async with kinesis_stream() as made:
            yield made


def values(first: int, count: int) -> list[bytes]:
    return [b'{"n": %d}' % number for number in range(first, first + count)]


def listens(stream: Stream, trigger: MicroBatches, inbox: Any, fetched: RecordKeeper | None = None) -> Listener:
    return listener_of([trigger], stream.access or access_to("nowhere"), inbox, fetched)


def spans(inbox: RecordingInbox) -> list[AnyRange]:
    """Of all batches, in the order of their acceptance."""
    events = [one.event for one in inbox.events.values() if one.event.type.endswith(".batch")]
    return [range_of_event(event) for event in events]


def held(inbox: RecordingInbox) -> int:
    return sum(one.count for one in spans(inbox))


async def read_all(stream: Stream, trigger: MicroBatches, ranges: Iterable[AnyRange]) -> list[bytes | None]:
    found: list[bytes | None] = []
    for one in ranges:
        records = await stream.read(trigger, one)
        assert len(records) == one.count
        found += [record.value for record in records]
    return found


async def test_batches_close_by_count_and_time_and_are_read_again_exactly(stream: Stream) -> None:
    inbox = RecordingInbox()
    trigger = stream.trigger(max_records=4, max_wait_s=0.4)
    await stream.write(values(0, 10))
    async with listening(listens(stream, trigger, inbox)):
        await inbox.until(lambda: held(inbox) == 10)
    assert [one.count for one in spans(inbox)] == [4, 4, 2]
    assert await read_all(stream, trigger, spans(inbox)) == values(0, 10)
    assert await read_all(stream, trigger, spans(inbox)) == values(0, 10)


async def test_a_kill_around_the_commit_neither_loses_nor_doubles(stream: Stream) -> None:
    inbox = RecordingInbox()
    trigger = stream.trigger(max_records=5, max_wait_s=0.2)
    await stream.write(values(0, 5))
    async with listening(listens(stream, trigger, inbox)):
        await inbox.until(lambda: held(inbox) == 5)
    await stream.write(values(5, 20))
    inbox.refuse += [InboxBusy("busy", retry_after_s=0.01), Killed()]
    await death_of(listens(stream, trigger, inbox))
    inbox.die_after.append(Killed())
    await death_of(listens(stream, trigger, inbox))
    async with listening(listens(stream, trigger, inbox)):
        await inbox.until(lambda: held(inbox) >= 25)
    assert await read_all(stream, trigger, spans(inbox)) == values(0, 25)
    assert inbox.repeats == 0


async def test_members_that_come_and_go_share_the_stream_exactly(stream: Stream) -> None:
    inbox = RecordingInbox()
    trigger = stream.trigger(max_records=3, max_wait_s=0.1)
    written = 0
    async with asyncio.TaskGroup() as members:
        steady = members.create_task(listens(stream, trigger, inbox).run())
        for _ in range(2):
            guest = members.create_task(listens(stream, trigger, Door(inbox)).run())
            await stream.write(values(written, 20))
            written += 20
            await inbox.until(lambda written=written: held(inbox) >= written - 10)
            guest.cancel()
        steady.cancel()
        last = members.create_task(listens(stream, trigger, inbox).run())
        await inbox.until(lambda: held(inbox) >= 40)
        last.cancel()
    assert await read_all(stream, trigger, spans(inbox)) == values(0, 40)
    assert inbox.repeats == 0


async def test_keys_order_and_the_watermark_are_kept_over_a_restart(stream: Stream) -> None:
    inbox = RecordingInbox()
    trigger = stream.trigger(max_records=6, max_wait_s=0.2, by="key", mode="ordered", event_time="data.n")
    await stream.write(values(100, 6))
    async with listening(listens(stream, trigger, inbox)):
        await inbox.until(lambda: held(inbox) == 6)
    await stream.write(values(50, 6))
    async with listening(listens(stream, trigger, inbox)):
        await inbox.until(lambda: held(inbox) == 12)
    assert [(one.key, one.count) for one in spans(inbox)] == [("k0", 2), ("k1", 2), ("k2", 2)] * 2
    assert len({arrival.offers[0].sequence for arrival in inbox.events.values()}) == 3
    times = [arrival.event.data["times"] for arrival in inbox.events.values()]
    assert {one["watermark"] for one in times} == {"1970-01-01T00:01:45.000Z"}
    assert [one["late"] for one in times] == [0, 0, 0, 2, 2, 2]
    read = await read_all(stream, trigger, spans(inbox))
    assert sorted(read) == sorted(values(100, 6) + values(50, 6))  # type: ignore[type-var]


async def test_bad_records_are_dead_with_their_bytes_and_the_rest_goes_on(stream: Stream) -> None:
    inbox = RecordingInbox()
    trigger = stream.trigger(max_records=3, bad="dead")
    await stream.write([b'{"n": 1}', b"\xff", b'{"n": 2}'])
    async with listening(listens(stream, trigger, inbox)):
        arrivals = await inbox.until_events(2)
    assert [one.event.data for one in arrivals if one.offers[0].fate is Fate.DEAD] == [b"\xff"]
    [span] = spans(inbox)
    assert (span.count, span.bad) == (3, "dead")


async def test_the_end_is_where_it_was_when_latest_was_first_asked_for(stream: Stream) -> None:
    inbox = RecordingInbox()
    trigger = stream.trigger(max_records=2, max_wait_s=0.1, start="latest")
    await stream.write(values(0, 4))
    await asyncio.sleep(0.05)
    async with listening(listens(stream, trigger, inbox)):
        await inbox.until(lambda: bool(inbox.stored))
    await stream.write(values(4, 4))
    async with listening(listens(stream, trigger, inbox)):
        await inbox.until(lambda: held(inbox) == 4)
    assert await read_all(stream, trigger, spans(inbox)) == values(4, 4)


async def test_records_that_are_gone_are_a_clear_and_permanent_error(stream: Stream) -> None:
    inbox = RecordingInbox()
    trigger = stream.trigger(max_records=4, max_wait_s=0.2)
    await stream.write(values(0, 4))
    async with listening(listens(stream, trigger, inbox)):
        await inbox.until(lambda: held(inbox) == 4)
    [span] = spans(inbox)
    await asyncio.sleep(1.0)
    await stream.lose()
    with pytest.raises(RecordsGone, match="records "):
        await stream.read(trigger, span)
