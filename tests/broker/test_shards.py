"""Shards that come out of others: each is read once, and only after what it was made of. (moto reshards otherwise
than Kinesis does: it moves the records. So the stream here is one of the test's own.)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.broker.seam import Killed, RecordingInbox, access_to, death_of, listener_of, listening
from tests.contract.streams import CREDENTIALS
from triggers.base import ListenerState
from triggers.continuous import Found, Mark, Page, Shard
from triggers.continuous.kinesis import KinesisBatches
from triggers.continuous.listener import readable
from triggers.continuous.pulsar import PulsarBatches
from triggers.errors import InvalidTrigger, RecordsGone, SourceUnavailable
from triggers.ranges import ShardRange
from triggers.readers import AnyReader, reread


@dataclass
class Rows:
    """One shard: its records are numbered from its own `first`."""

    parents: frozenset[str] = frozenset()
    values: list[bytes] = field(default_factory=list)
    closed: bool = False


class Sharded:
    """A stream in memory, see `Source`; it is away as often as `away` says."""

    def __init__(self) -> None:
        self.account = "account"
        self.rows: dict[str, Rows] = {"a": Rows()}
        self.away = 0

    async def shards(self) -> Sequence[Shard]:
        if self.away:
            self.away -= 1
            raise SourceUnavailable("the stream is away")
        return [Shard(name, one.parents) for name, one in self.rows.items()]

    async def begin(self, shard: Shard, start: str) -> str:
        return str(len(self.rows[shard.name].values)) if start == "latest" else "0"

    async def open(self, shard: str, position: str) -> Reading:
        return Reading(self.rows[shard], int(position))

    async def again(self, span: ShardRange) -> Sequence[Found]:
        values = self.rows[span.shard].values[int(span.first) - 1 : int(span.last)]
        return [Found(str(int(span.first) + number), -1, b"k", value) for number, value in enumerate(values)]

    async def close(self) -> None:
        pass


@dataclass
class Reading:
    """See `ShardReader`: places count from 1, and a position is the last one read."""

    rows: Rows
    at: int

    async def page(self, limit: int) -> Page:
        found = self.rows.values[self.at : self.at + limit]
        records = [Found(str(self.at + number + 1), -1, b"k", value) for number, value in enumerate(found)]
        self.at += len(found)
        if not found:
            await asyncio.sleep(0.01)
        return Page(records, ended=self.rows.closed and self.at == len(self.rows.values))

    async def close(self) -> None:
        pass


@pytest.fixture
def sharded(monkeypatch: pytest.MonkeyPatch) -> Sharded:
    stream = Sharded()

    async def connect(trigger: Any) -> Sharded:
        return stream

    monkeypatch.setattr(KinesisBatches, "connect", connect)
    return stream


def trigger(**settings: Any) -> KinesisBatches:
    return KinesisBatches("s", **{"max_records": 3, "max_wait_s": 0.05, "standby_s": 0.1, "look_s": 0.05, **settings})


def listens(one: KinesisBatches, inbox: Any) -> Any:
    return listener_of([one], access_to("nowhere"), inbox)


def spans(inbox: RecordingInbox) -> list[tuple[str, int]]:
    ranges = [ShardRange.of(arrival.event) for arrival in inbox.events.values()]
    return [(one.shard, number) for one in ranges for number in range(int(one.first), int(one.last) + 1)]


async def test_children_are_read_after_all_of_their_parents(sharded: Sharded) -> None:
    inbox = RecordingInbox()
    sharded.rows |= {
        "a": Rows(values=[b"{}"] * 7, closed=True),
        "b": Rows(values=[b"{}"] * 2),
        "c": Rows(frozenset({"a", "b"}), [b"{}"] * 4),
        "d": Rows(frozenset({"long ago"}), [b"{}"]),
    }
    async with listening(listens(trigger(), inbox)):
        await inbox.until(lambda: len(spans(inbox)) == 10)
        assert not [name for name, _ in spans(inbox) if name == "c"]
        sharded.rows["b"].values += [b"{}"]
        sharded.rows["b"].closed = True
        await inbox.until(lambda: len(spans(inbox)) == 15)
    names = [name for name, _ in spans(inbox)]
    assert names.index("c") > max(number for number, name in enumerate(names) if name in "ab")
    assert len(set(spans(inbox))) == 15
    assert [inbox.stored[key] for key in sorted(inbox.stored)] == ["7!", "3!", "4", "1"]


async def test_a_kill_between_parent_and_child_neither_loses_nor_doubles(sharded: Sharded) -> None:
    inbox = RecordingInbox()
    sharded.rows |= {"a": Rows(values=[b"{}"] * 7, closed=True), "b": Rows(frozenset({"a"}), [b"{}"] * 4)}
    for number in range(6):
        (inbox.refuse if number % 2 else inbox.die_after).append(Killed())
        await death_of(listens(trigger(), inbox))
    sharded.away = 2
    async with listening(listens(trigger(), inbox)):
        await inbox.until(lambda: len(spans(inbox)) == 11)
    assert len(set(spans(inbox))) == 11
    assert inbox.repeats == 0


async def test_who_stands_by_takes_over_what_nobody_reads_any_more(sharded: Sharded) -> None:
    inbox = RecordingInbox()
    async with asyncio.TaskGroup() as members:
        ones = [members.create_task(listens(trigger(), inbox).run()) for _ in range(3)]
        for number in range(3):
            sharded.rows["a"].values += [b"{}"] * 10
            await inbox.until(lambda number=number: len(spans(inbox)) == 10 * (number + 1))
            ones[number].cancel()
    assert len(set(spans(inbox))) == 30
    assert inbox.repeats == 0


async def test_a_batch_holds_no_more_bytes_than_it_may(sharded: Sharded) -> None:
    inbox = RecordingInbox()
    sharded.rows["a"].values = [b'{"n": 1}'] * 5  # nine bytes each with their key
    async with listening(listens(trigger(max_records=100, max_bytes=20), inbox)):
        await inbox.until(lambda: len(spans(inbox)) == 5)
    assert [ShardRange.of(one.event).count for one in inbox.events.values()] == [2, 2, 1]


async def test_spans_are_read_again_or_their_loss_is_told(sharded: Sharded) -> None:
    sharded.rows["a"].values = [b'{"n": 1}', b'{"n": 2}']
    span = ShardRange("kinesis-batches", "account", "s", "a", "1", "2", 2)
    reader = AnyReader(None, [trigger()])
    records = await reader.read(span)
    assert [(one.topic, one.offset, one.place, one.value) for one in records] == [
        ("s", 0, "a/1", b'{"n": 1}'), ("s", 1, "a/2", b'{"n": 2}'),
    ]  # fmt: skip
    sharded.rows["a"].values.pop()
    with pytest.raises(RecordsGone, match="1 of 2 are left"):
        await reread(span, trigger().connect)
    reader.keep(span, records, 16)
    assert await reader.read(span) is records
    with pytest.raises(RecordsGone, match="no pipeline of this daemon listens to it"):
        await AnyReader(None, []).read(span)


async def test_a_source_that_cannot_be_reached_stops_no_other(
    sharded: Sharded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pulsar", None)  # as where it is not installed
    monkeypatch.delitem(sys.modules, "triggers.continuous.pulsar_source", raising=False)
    inbox = RecordingInbox()
    sharded.rows["a"].values = [b"{}"] * 5
    both = listener_of([PulsarBatches("flights"), trigger()], access_to("nowhere"), inbox)
    async with listening(both):
        await inbox.until(lambda: len(spans(inbox)) == 5)
    away, there = both.statuses()
    assert (away.state, there.state) == (ListenerState.RETRYING, ListenerState.LISTENING)
    assert away.note == "pulsar-batches:flights needs pulsar-client: install tidemill[pulsar]"


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (KinesisBatches("s", region="eu-west-1", endpoint="http://host_/:x"), "Kinesis stream s: "),
        (KinesisBatches("s", region="eu-west-1", endpoint="http://127.0.0.1:1"), "Kinesis stream s: "),
    ],
)
async def test_an_endpoint_that_is_none_is_told(
    one: KinesisBatches, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SourceUnavailable, match=told):
        await one.connect()


def test_marks_and_what_may_be_read() -> None:
    for mark in (Mark("49"), Mark("49", True), Mark("49", True, 7), Mark("trim", False, 7)):
        assert Mark.of(str(mark)) == mark
    shards = [Shard("a"), Shard("b", frozenset({"a"})), Shard("c", frozenset({"gone"}))]
    assert [one.name for one in readable(shards, {})] == ["a", "c"]
    assert [one.name for one in readable(shards, {"a": Mark("9", True)})] == ["b", "c"]


def test_a_wrong_stream_is_refused() -> None:
    with pytest.raises(InvalidTrigger, match="not a stream's name"):
        KinesisBatches("arn:aws:kinesis:::stream/x")
    with pytest.raises(InvalidTrigger, match="standby_s=0: give seconds"):
        KinesisBatches("s", standby_s=0)
