"""What a micro-batch says of its records: whose they are, when they happened, which are no rows, in what order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers import Batch, KafkaBatches, RateLimit
from triggers.base import Binding, Fate, OffsetRange, ShardRange, range_of_event, range_of_fields
from triggers.errors import InvalidTrigger
from triggers.event import Event
from triggers.kafka.batch_events import batch_arrival, close, dead_arrivals, sequence_of, time_of_batch
from triggers.kafka.batch_positions import life_of, offset_of, position_of, topic_of, watermark_of
from triggers.kafka.batch_values import Times, key_at, split, times_of, why_bad

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@dataclass
class Held:
    value: bytes | None = b"{}"
    key: bytes | None = None
    timestamp: int = -1
    offset: int = 0


def range_of(records: Any) -> OffsetRange:
    return OffsetRange("c", "t", 0, records[0].offset, records[-1].offset, len(records))


def test_records_are_told_apart_by_their_key_or_by_what_they_hold() -> None:
    own = [Held(key=b"a"), Held(key=None), Held(key=b"\xff"), Held(key=b"a"), Held(key=b"")]
    assert {key: len(ones) for key, ones in split(own, "key").items()} == {"a": 2, None: 1, "base64:/w==": 1, "": 1}
    values = [
        b'{"who": {"id": 7}}',
        b'{"who": {"id": "7"}}',
        b'{"who": {}}',
        b"not json",
        None,
        b'{"who": {"id": [1]}}',
    ]
    held = split([Held(value) for value in values], "data.who.id")
    assert {key: len(ones) for key, ones in held.items()} == {"7": 2, None: 3, "[1]": 1}


@given(st.lists(st.tuples(st.sampled_from([None, b"a", b"b", b"\xff"]), st.integers(0, 99))))
def test_each_record_is_in_the_batch_of_its_key_and_in_no_other(drawn: list[tuple[bytes | None, int]]) -> None:
    records = [Held(key=key, timestamp=ms, offset=number) for number, (key, ms) in enumerate(drawn)]
    if not records:
        return
    closed = close(records, KafkaBatches("t", by="key"), None, NOW, range_of)
    assert sorted(one.offset for batch in closed for one in batch.records) == list(range(len(records)))
    assert len({(batch.offsets.first, batch.offsets.last) for batch in closed}) == len(closed)
    for batch in closed:
        assert batch.offsets.count == len(batch.records)
        between = records[batch.records[0].offset : batch.records[-1].offset + 1]
        assert [one for one in between if key_at("key")(one) == batch.offsets.key] == batch.records
        assert batch.times.watermark == max(ms for _, ms in drawn)


def test_a_watermark_never_goes_back_and_what_is_behind_it_is_late() -> None:
    first = times_of([Held(timestamp=5_000), Held(timestamp=9_000)], "timestamp", 2.0, None)
    assert first == Times(5_000, 9_000, 7_000, 0)
    later = times_of([Held(timestamp=6_999), Held(timestamp=7_000), Held(timestamp=-1)], "timestamp", 2.0, 7_000)
    assert later == Times(6_999, 7_000, 7_000, 1)
    assert times_of([Held(timestamp=-1)], "timestamp", 2.0, 7_000) == Times(None, None, 7_000, 0)


def test_a_time_that_is_far_ahead_is_counted_and_in_no_watermark() -> None:
    ahead = [Held(timestamp=4_102_444_800_000), Held(timestamp=5_000), Held(timestamp=10_001)]
    assert times_of(ahead, "timestamp", 2.0, 1_000, 10_000) == Times(5_000, 5_000, 3_000, 0, 2)
    assert times_of(ahead[:1], "timestamp", 2.0, 1_000, 10_000) == Times(None, None, 1_000, 0, 1)
    assert time_of_batch(Times(ahead=1), NOW) == NOW
    with pytest.raises(InvalidTrigger, match="ahead_s='soon': give seconds"):
        KafkaBatches("t", ahead_s="soon")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "ms"),
    [
        (b'{"at": "1970-01-01T00:00:05Z"}', 5_000), (b'{"at": "1970-01-01T01:00:05+01:00"}', 5_000),
        (b'{"at": "1970-01-01T00:00:05"}', 5_000), (b'{"at": 5.5}', 5_500),
        (b'{"at": 1700000000000}', 1_700_000_000_000),
        (b'{"at": true}', None), (b'{"at": "soon"}', None), (b"{}", None), (b"x", None), (None, None),
        (b'{"at": 1e300}', None), (b'{"at": -5}', None),
    ],
)  # fmt: skip
def test_the_time_of_a_record_may_be_in_what_it_holds(value: bytes | None, ms: int | None) -> None:
    assert times_of([Held(value)], "data.at", 0.0, None).last == ms


def test_times_are_told_as_people_write_them() -> None:
    assert Times(0, 1_500, None, 2, 3).as_data() == {
        "first": "1970-01-01T00:00:00.000Z", "last": "1970-01-01T00:00:01.500Z", "watermark": None,
        "late": 2, "ahead": 3,
    }  # fmt: skip
    assert time_of_batch(Times(), NOW) == NOW
    assert time_of_batch(Times(last=1_500), NOW) == datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC)


def test_a_watermark_is_kept_with_the_position() -> None:
    assert (position_of(25, 7_000), position_of(25, None)) == ("25@7000", "25")
    assert [(offset_of(one), watermark_of(one)) for one in ("25@7000", "25")] == [(25, 7_000), (25, None)]
    assert [position_of(25, None, 2), position_of(25, 7, 2)] == ["25~2", "25~2@7"]
    assert [(offset_of(one), life_of(one), watermark_of(one)) for one in ("25~2@7", "25~2", "25@7")] == [
        (25, 2, 7), (25, 2, None), (25, 0, 7),
    ]  # fmt: skip
    with_id = [position_of(25, 7, 0, "ab"), position_of(25, None, 2, "ab")]
    assert with_id == ["25~0~ab@7", "25~2~ab"]
    assert [(offset_of(one), life_of(one), topic_of(one)) for one in with_id] == [(25, 0, "ab"), (25, 2, "ab")]
    assert [topic_of(one) for one in ("25@7", "25~2@7", "25", "")] == ["", "", "", ""]


@pytest.mark.parametrize("bad", [b"", b"{", b"[1]", b"7", b"\xff"])
def test_what_is_no_json_object_is_dead_where_that_is_wanted(bad: bytes) -> None:
    binding = Binding("p", KafkaBatches("t", bad="dead"))
    event = Event(source="s", id="1", type="t", time=NOW)
    [arrival] = dead_arrivals([Held(b'{"a": 1}'), Held(None), Held(bad)], binding, lambda record: event)
    assert [one.fate for one in arrival.offers] == [Fate.DEAD]
    assert arrival.offers[0].reason == why_bad(bad)


def test_ranges_are_told_whole_by_their_events() -> None:
    plain = OffsetRange("c", "t", 0, 1, 2, 2)
    assert set(plain.as_data()) == {"cluster", "topic", "partition", "first_offset", "last_offset", "count"}
    whole = replace(plain, by="data.x", key=None, bad="skip", isolation="read_uncommitted", topic_id="ab")
    shard = ShardRange("kinesis-batches", "1", "s", "shard-0", "49", "51", 2, by="key", key="a", bad="dead")
    for one in (plain, whole, shard):
        event = Event(source="s", id="1", type="t", time=NOW, data=one.as_data())
        assert range_of_event(event) == one
        assert range_of_fields({name: getattr(one, name) for name in one.__slots__}) == one


def test_batches_follow_each_other_by_partition_or_by_key_where_they_are_made_by_key() -> None:
    plain = OffsetRange("c", "t", 0, 1, 2, 2)
    names = [sequence_of("t/0", replace(plain, by="key", key=key)) for key in ("a", None, "", "x" * 300, "\n")]
    assert names[:3] == ["t/0 =a", "t/0 ", "t/0 ="]
    assert len({*names, sequence_of("t/0", plain)}) == 6
    assert all(len(name) < 50 for name in names)


@pytest.mark.parametrize(("mode", "sequence"), [("parallel", None), ("ordered", "t/0")])
def test_only_an_ordered_trigger_puts_its_runs_in_a_sequence(mode: Any, sequence: str | None) -> None:
    event = Event(source="s", id="1", type="t", time=NOW, data={})
    binding = Binding("p", KafkaBatches("t", mode=mode))
    [offered] = batch_arrival(binding, event, "t/0", OffsetRange("c", "t", 0, 1, 2, 2)).offers
    assert offered.sequence == sequence


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"mode": "sorted"}, "mode='sorted': give 'parallel' or 'ordered'"),
        ({"bad": "drop"}, "bad='drop': give 'fail' or 'skip' or 'dead'"),
        ({"start": "now"}, "start='now': give"),
        ({"isolation": "none"}, "isolation='none': give"),
        ({"by": "customer"}, "by='customer': give 'key', or a path such as 'data.customer'"),
        ({"by": ""}, "by='': give"),
        ({"event_time": "data."}, "event_time='data.': give 'timestamp', or a path"),
        ({"lateness_s": -1}, "lateness_s=-1: give seconds"),
        ({"max_records": 1.5}, "max_records=1.5: give a whole number"),
        ({"max_bytes": 0}, "max_bytes=0: give a whole number"),
        ({"coalesce": Batch(10, 1)}, "its events are batches already"),
        ({"mode": "ordered", "rate_limit": RateLimit(1, 1)}, "rate_limit drops batches"),
    ],
)
def test_wrong_settings_are_refused_with_what_to_write(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidTrigger) as refused:
        KafkaBatches("t", **settings)
    assert words in str(refused.value)
