"""Every record of a stream in exactly one window's event, whatever becomes of Faust, the daemon and the group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson
import pytest
from faust.transport.consumer import Consumer

from tests.broker.seam import (
    Door,
    Killed,
    RecordingInbox,
    access_to,
    create_topic,
    death_of,
    listener_of,
    listening,
    produce,
    producing,
    recreate_topic,
    told,
)
from triggers import StreamFeatures
from triggers.base import Fate, ListenerState
from triggers.errors import InboxBusy
from triggers.stream.aggregates import Aggregate, Count, Sum
from triggers.stream.event import FEATURES_TYPE
from triggers.stream.listener import changelog_of
from triggers.stream.windows import Mark

Windows = dict[tuple[int, str], dict[str, Any]]


def stream(topic: str, **declared: Any) -> StreamFeatures:
    options = {
        "window_s": 10,
        "grace_s": 5,
        "time": "t",
        "idle_s": None,
        "flush_every_s": 0.05,
        "aggregates": {"n": Count(), "x": Sum("x")},
    }
    return StreamFeatures(topic, "k", **{**options, **declared})


def record(time_s: float, key: str, x: Any = 1) -> bytes:
    return orjson.dumps({"t": time_s, "k": key, "x": x})


def windows_of(inbox: RecordingInbox) -> Windows:
    """The rows of every window that was told, by partition and start. Each was told once."""
    found: Windows = {}
    for event in (arrival.event for arrival in inbox.events.values() if arrival.event.type == FEATURES_TYPE):
        place = event.data["partition"], event.data["window_start"][14:19]
        assert place not in found
        found[place] = {row["key"]: (row["n"], row["x"]) for row in event.data["rows"]}
    return found


def marks(inbox: RecordingInbox) -> list[Mark]:
    return [Mark.of(position) for _, position in sorted(inbox.stored.items())]


async def until_folded(inbox: RecordingInbox, *offsets: int) -> None:
    """Wait until the inbox holds what lies before these offsets of the partitions 0, 1, ..."""
    await inbox.until(lambda: [mark.next for mark in marks(inbox)] == list(offsets))


async def test_windows_hold_what_their_partition_brought_in_time(kafka: str, make_topic: Callable[..., str]) -> None:
    inbox, topic = RecordingInbox(), make_topic(2)
    early = [record(1, "a"), record(9, "b", 5), record(2, "a"), record(12, "a"), record(3, "b", None), b"junk"]
    await produce(kafka, topic, [*early, record(14, "a", "text"), record(15, "a"), record(4, "a"), record(16, "b")])
    await produce(kafka, topic, [record(1, "a", 7), record(40, "z")], partition=1)
    listener = listener_of([stream(topic)], access_to(kafka, create_topics=True), inbox)
    async with listening(listener):
        await until_folded(inbox, 10, 2)
        [status] = listener.statuses()
    assert windows_of(inbox) == {(0, "00:00"): {"a": (2, 2), "b": (2, 5)}, (1, "00:00"): {"a": (1, 7)}}
    others = [arrival for arrival in inbox.events.values() if arrival.event.type != FEATURES_TYPE]
    fates = [(arrival.event.data, arrival.offers[0].fate, arrival.offers[0].reason) for arrival in others]
    assert [(data, fate) for data, fate, _ in fates] == [
        (b"junk", Fate.DEAD),
        (record(14, "a", "text"), Fate.DEAD),
        (record(4, "a"), Fate.LATE),
    ]
    assert fates[0][2].startswith("not JSON")
    assert fates[1][2] == "x: x: 'text' is no number"
    assert fates[2][2] == "of 1970-01-01T00:00:04Z, when its partition had come to 1970-01-01T00:00:15Z"
    assert (status.state, status.lag_records) == (ListenerState.LISTENING, 0)
    assert status.note.startswith("records unreadable: 2, too late: 1; the last: offset 0/8: of 1970")
    assert status.last_seen_at is not None


async def test_a_partition_gone_quiet_closes_its_windows(kafka: str, make_topic: Callable[..., str]) -> None:
    inbox, topic = RecordingInbox(), make_topic(2)
    await produce(kafka, topic, [record(1, "a"), record(11, "a")])
    async with listening(listener_of([stream(topic, idle_s=0.3)], access_to(kafka), inbox)):
        await inbox.until_events(2)
    assert windows_of(inbox) == {(0, "00:00"): {"a": (1, 1)}, (0, "00:10"): {"a": (1, 1)}}


async def test_a_topic_made_anew_while_nobody_listened_is_read_from_its_first_record(
    kafka: str, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The windows are the same, and end with the same offsets: they are other events all the same."""
    inbox, access = RecordingInbox(), access_to(kafka)
    same = [record(1, "a"), b"junk", record(12, "a"), record(40, "z")]
    await produce(kafka, topic, same)
    async with listening(listener_of([stream(topic)], access, inbox)):
        await until_folded(inbox, 4)
    ids = [arrival.event.id for arrival in inbox.events.values()]
    await recreate_topic(kafka, topic)
    await produce(kafka, topic, [*same, record(41, "z")])
    listener = listener_of([stream(topic)], access, inbox)
    async with listening(listener):
        await until_folded(inbox, 5)
        [status] = listener.statuses()
    assert [arrival.event.id for arrival in inbox.events.values()] == [*ids, *(f"{one}~1" for one in ids)]
    assert len(ids) == 3
    assert f"{topic}/0: its topic was made anew since offset" in status.note
    assert "1 records of windows that were open went with the topic" in caplog.text


async def test_from_the_latest_on_only_what_comes_is_seen(kafka: str, topic: str) -> None:
    inbox = RecordingInbox()
    await produce(kafka, topic, [record(1, "old")])
    async with listening(listener_of([stream(topic, start="latest")], access_to(kafka), inbox)):
        await until_folded(inbox, 1)
        await produce(kafka, topic, [record(2, "new"), record(40, "new")])
        await inbox.until_events(1)
    assert windows_of(inbox) == {(0, "00:00"): {"new": (1, 1)}}


@dataclass(frozen=True)
class Watched(Aggregate):
    """Knows which numbers were folded, and may refuse one as a bug would."""

    folded: ClassVar[dict[str, list[float]]] = {}
    bugs: ClassVar[dict[str, float]] = {}

    def begin(self) -> int:
        return 0

    def fold(self, state: int, number: float) -> int:
        if self.bugs.get(self.path) == number:
            del self.bugs[self.path]
            raise Killed
        self.folded.setdefault(self.path, []).append(number)
        return state + 1


async def test_a_restart_in_a_window_changes_nothing_and_reads_again_only_what_was_not_kept(
    kafka: str, make_topic: Callable[..., str]
) -> None:
    async def live_twice(path: str, *, changelog: bool) -> None:
        inbox, topic, access = RecordingInbox(), make_topic(2), access_to(kafka)
        trigger = stream(topic, aggregates={"n": Count(), "x": Watched(path)})
        if changelog:
            await create_topic(kafka, changelog_of(f"{access.group_prefix}.stream.p0/{trigger.name}"), 2)
        once, again = list(range(5)), list(range(5, 10))
        await produce(kafka, topic, [orjson.dumps({"t": 3, "k": "a", path: at}) for at in once])
        async with listening(listener_of([trigger], access, inbox)):
            await until_folded(inbox, 5, 0)
        await produce(kafka, topic, [orjson.dumps({"t": 1, "k": "a", path: at}) for at in again])
        await produce(kafka, topic, [record(2, "b"), record(40, "z")])
        async with listening(listener_of([trigger], access, inbox)):
            await inbox.until_events(1)
        assert windows_of(inbox) == {(0, "00:00"): {"a": (10, 10), "b": (1, 0)}}
        assert Watched.folded[path] == (once + again if changelog else once + once + again)

    await asyncio.gather(live_twice("kept", changelog=True), live_twice("lost", changelog=False))


async def test_a_kill_around_the_commit_neither_loses_nor_doubles(kafka: str, make_topic: Callable[..., str]) -> None:
    async def die_and_live_on(inbox: RecordingInbox) -> None:
        access, trigger = access_to(kafka, create_topics=True), stream(make_topic())
        await produce(kafka, trigger.topic, [*(record(at, "a") for at in range(25)), record(60, "z")])
        await death_of(listener_of([trigger], access, inbox))
        async with listening(listener_of([trigger], access, inbox)):
            await until_folded(inbox, 26)
        assert windows_of(inbox) == {(0, f"00:{at}0"): {"a": (count, count)} for at, count in enumerate((10, 10, 5))}
        assert inbox.repeats == 0

    before, after = RecordingInbox(), RecordingInbox()
    before.refuse.append(Killed())
    after.die_after.append(Killed())
    await asyncio.gather(die_and_live_on(before), die_and_live_on(after))


async def test_a_bug_in_an_aggregate_ends_the_daemon_and_loses_nothing(kafka: str, topic: str) -> None:
    inbox, access = RecordingInbox(), access_to(kafka)
    trigger = stream(topic, aggregates={"n": Count(), "x": Watched("buggy")})
    Watched.bugs["buggy"] = 3.0
    await produce(kafka, topic, [orjson.dumps({"t": 1, "k": "a", "buggy": at}) for at in range(5)])
    await produce(kafka, topic, [record(40, "z")])
    await death_of(listener_of([trigger], access, inbox))
    async with listening(listener_of([trigger], access, inbox)):
        await inbox.until_events(1)
    assert windows_of(inbox) == {(0, "00:00"): {"a": (5, 5)}}


async def test_what_faust_loses_is_read_again(kafka: str, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox, lost = RecordingInbox(), []
    getmany = Consumer.getmany

    async def losing(self: Consumer, timeout: float) -> Any:
        async for at, message in getmany(self, timeout):
            if not lost and message.previous >= 0:
                lost.append(message)
            else:
                yield at, message

    monkeypatch.setattr(Consumer, "getmany", losing)
    await produce(kafka, topic, [*(record(1, "a") for _ in range(1000)), record(40, "z")])
    listener = listener_of([stream(topic)], access_to(kafka), inbox)
    async with listening(listener):
        assert "Faust gave no records between 199 and 399" in await told(listener, ListenerState.RETRYING)
        await inbox.until_events(1)
    assert windows_of(inbox) == {(0, "00:00"): {"a": (1000, 1000)}}


async def test_while_members_come_and_go_every_record_is_in_one_window(
    kafka: str, make_topic: Callable[..., str]
) -> None:
    inbox, topic = RecordingInbox(), make_topic(4)
    access, trigger = access_to(kafka, create_topics=True), stream(topic)
    inbox.refuse += [InboxBusy("busy", retry_after_s=0.01) for _ in range(5)]
    written: list[int] = []
    calm = asyncio.Event()

    async def write() -> None:
        """Until it is calm, and then the record that closes every window."""
        async with producing(kafka) as producer:
            while not calm.is_set():
                for partition in range(4):
                    await producer.send(topic, record(len(written) / 10, f"k{len(written) % 7}"), partition=partition)
                written.append(len(written))
                if len(written) % 20 == 0:
                    await asyncio.sleep(0.02)
            for partition in range(4):
                await producer.send(topic, record(len(written) / 10 + 100, "end"), partition=partition)

    async with asyncio.TaskGroup() as members:
        steady = members.create_task(listener_of([trigger], access, inbox).run())
        members.create_task(write())
        # The embedded broker loses a group whose leader leaves while somebody joins.
        await inbox.until(lambda: len(inbox.stored) == 4)
        door = Door(inbox)
        guest = members.create_task(listener_of([trigger], access, door).run())
        await inbox.until(lambda: door.accepted > 3)
        guest.cancel()
        calm.set()
        await inbox.until(lambda: [mark.open_records for mark in marks(inbox)] == [1] * 4)
        steady.cancel()

    assert windows_of(inbox) == {
        (partition, start): rows for partition in range(4) for start, rows in expected(written).items()
    }
    assert sum(mark.late + mark.unreadable for mark in marks(inbox)) == inbox.repeats == 0


def expected(numbers: Iterable[int]) -> dict[str, dict[str, tuple[int, int]]]:
    counts: dict[str, dict[str, int]] = {}
    for number in numbers:
        minutes, seconds = divmod(number // 100 * 10, 60)
        rows = counts.setdefault(f"{minutes:02}:{seconds:02}", {})
        rows[f"k{number % 7}"] = rows.get(f"k{number % 7}", 0) + 1
    return {start: {key: (count, count) for key, count in rows.items()} for start, rows in counts.items()}
