"""Where triggers begin that share a partition's position. The broker's offsets are given."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pytest
from aiokafka import TopicPartition

from triggers import KafkaArrivals
from triggers.base import Binding, KafkaAccess, Position
from triggers.kafka import begin as kafka_begin
from triggers.kafka.begin import Beginnings, Begun, admit, begun_scope

AT, SCOPE = TopicPartition("t", 0), "kafka:c:g"


class Reader:
    """What a reader is to those who place its partitions: a broker's word and an inbox in a dictionary."""

    def __init__(self, oldest: int = 0, topic_id: str = "a", topics: Collection[str] = ("t",)) -> None:
        self.scope = SCOPE
        self.partitions = {topic: frozenset({0, 1}) for topic in topics}
        self.topic_ids = dict.fromkeys(topics, topic_id)
        self.held: dict[tuple[str, str], str] = {}
        self.first = oldest

    async def oldest(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, self.first)

    async def store(self, moves: Sequence[Position]) -> bool:
        guarded = [one for one in moves if one.expect is not None]
        if any(self.held.get((one.scope, one.key), "") != one.expect for one in guarded):
            return False
        self.held.update({(one.scope, one.key): one.value for one in moves})
        return True

    async def stored(self, scope: str) -> Mapping[str, str]:
        return {key: value for (its, key), value in self.held.items() if its == scope}

    def begun(self, key: str = "t/0") -> Begun:
        return Begun.of(self.held[begun_scope(SCOPE), key])


@pytest.fixture(autouse=True)
def end(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The broker's end of every partition, to be changed in place."""
    ends = [1000]

    async def newest(access: KafkaAccess, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        return dict.fromkeys(partitions, ends[0])

    monkeypatch.setattr(kafka_begin, "newest_offsets", newest)
    return ends


def beginnings(**starts: str) -> Beginnings:
    listening = [Binding("p", KafkaArrivals("t", name=name, start=start)) for name, start in starts.items()]  # type: ignore[arg-type]
    return Beginnings(KafkaAccess(""), listening)


async def placed(made: Beginnings, reader: Reader, at: TopicPartition = AT) -> int:
    found = await made.begin(reader, [at], await reader.stored(SCOPE))
    return found[at][0]


def test_who_wants_older_records_takes_the_position_back_and_the_others_stay() -> None:
    begun = Begun("a", 0, {"first": 3})
    assert admit(begun, 100, {"later": 0}) == (Begun("a", 0, {"first": 100, "later": 0}), 0)
    assert admit(begun, 100, {"later": 200}) == (Begun("a", 0, {"first": 3, "later": 200}), 100)
    assert admit(Begun(), None, {"one": 7, "two": 9}) == (Begun("", 0, {"one": 7, "two": 9}), 7)


async def test_a_partition_that_is_added_is_heard_from_its_first_record() -> None:
    reader, made = Reader(), beginnings(new="latest")
    assert await placed(made, reader) == 1000
    assert await placed(made, reader, TopicPartition("t", 1)) == 0
    assert reader.begun("t/1").marks == {"p/new": 0}


async def test_a_position_from_before_all_this_is_that_of_all_who_listen() -> None:
    reader = Reader()
    reader.held[SCOPE, "t/0"] = "40"
    assert await placed(beginnings(one="earliest", two="latest"), reader) == 40
    assert reader.begun() == Begun("a", 0, {"p/one": 0, "p/two": 0})


async def test_nobody_begins_twice() -> None:
    reader = Reader()
    assert await placed(beginnings(one="latest"), reader) == 1000
    assert await placed(beginnings(one="earliest"), reader) == 1000
    assert reader.held[SCOPE, "t/0"] == "1000"


async def test_a_topic_with_another_id_begins_a_new_life(end: list[int]) -> None:
    reader = Reader()
    await placed(beginnings(one="latest"), reader)
    reader.topic_ids = {"t": "b"}
    assert await placed(beginnings(one="latest"), reader) == 0
    assert reader.begun() == Begun("b", 1, {"p/one": 0})


@pytest.mark.parametrize(("ids", "offset"), [(("a", "a"), 900), (("a", "b"), 0), (("", ""), 0)])
async def test_a_partition_that_is_shorter_was_cut_or_made_anew(
    end: list[int], ids: tuple[str, str], offset: int
) -> None:
    """Cut, what was accepted is not accepted again; what comes under the same offsets is new all the same."""
    reader, made = Reader(topic_id=ids[0]), beginnings(one="latest")
    await placed(made, reader)
    end[0], reader.topic_ids = 900, {"t": ids[1]}
    made.shrunk(AT)
    assert await placed(made, reader) == offset
    assert reader.begun() == Begun(ids[1], 1, {"p/one": 0})
    assert await placed(made, reader) == offset


async def test_who_was_quicker_places_the_partition() -> None:
    reader, made = Reader(), beginnings(one="latest")
    reader.held[SCOPE, "t/0"] = "7"
    assert await made.begin(reader, [AT], {}) == {}
    assert reader.held == {(SCOPE, "t/0"): "7"}
