"""The rules of the Kafka triggers that need no broker."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from aiokafka import ConsumerRecord, TopicPartition

from triggers import Event, KafkaArrivals, KafkaBatches
from triggers.base import OffsetRange, Record, range_of_event
from triggers.cloudevents import from_kafka, restore, to_json
from triggers.errors import InvalidEvent, InvalidTrigger
from triggers.kafka import values as kafka_values
from triggers.kafka.batch_values import Times
from triggers.kafka.batches import Batches, Gathering, batch_event
from triggers.kafka.group import Cursor
from triggers.kafka.kept_records import KeptRecords, RecordsView
from triggers.kafka.records import event_of, key_and_headers
from triggers.kafka.values import read_bytes, read_text
from triggers.where import mismatch

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def record(
    value: bytes | None = b"{}", *, offset: int = 7, key: bytes | None = None, timestamp: int = 0, headers: Any = ()
) -> ConsumerRecord[bytes, bytes]:
    sizes = (len(key or b""), len(value or b""))
    return ConsumerRecord("t", 3, offset, timestamp, 0, key, value, None, *sizes, headers)


def test_a_plain_record_is_known_by_partition_and_offset() -> None:
    event, dead = event_of(record(b"[1]", key=b"\xc3\xa9", timestamp=1_000), "kafka:c/t", NOW)
    assert (event.source, event.id, event.subject, event.data, dead) == ("kafka:c/t", "3/7", "é", [1], "")
    assert event.time == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize("value", [b"{", b"\xff", b"", b"NaN", b"{}{}"])
def test_a_value_that_is_not_json_is_dead_with_its_bytes(value: bytes) -> None:
    event, dead = event_of(record(value), "kafka:c/t", NOW)
    assert (event.id, event.data, event.datacontenttype) == ("3/7", value, "application/octet-stream")
    assert dead.startswith("not JSON: ")


def test_a_broken_cloudevent_is_dead_under_the_identity_of_its_record() -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"1")]
    event, dead = event_of(record(b"{}", headers=headers), "kafka:c/t", NOW)
    assert (event.source, event.id, event.data) == ("kafka:c/t", "3/7", b"{}")
    assert dead.startswith("broken CloudEvent: ")


def test_a_tombstone_is_an_event_without_data() -> None:
    event, dead = event_of(record(None), "kafka:c/t", NOW)
    assert (event.data, event.datacontenttype, dead) == (None, None, "")


def test_a_value_nested_deeper_than_can_be_stored_is_dead() -> None:
    event, dead = event_of(record(b"[" * 300 + b"]" * 300), "kafka:c/t", NOW)
    assert dead.startswith("not JSON: the value is nested more than 200 levels deep")
    assert event.data == b"[" * 300 + b"]" * 300


def test_a_huge_value_is_dead_with_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_values, "LARGEST_BYTES", 10)
    assert event_of(record(b"[12345678]"), "kafka:c/t", NOW)[1] == ""
    event, dead = event_of(record(b"[123456789]"), "kafka:c/t", NOW)
    assert (event.data, dead.partition(",")[0]) == (b"[123456789]", "its value has 11 bytes")


def test_a_cloudevent_that_tells_no_time_has_that_of_its_record() -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t")]
    event, _ = event_of(record(b"", headers=headers, timestamp=1_000), "kafka:c/t", NOW)
    assert event.time == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


HEADERS_SENT = [("trace", b"a"), ("twice", b"1"), ("twice", b"2"), ("raw", b"\xff"), ("none", None)]


@pytest.mark.parametrize("key", [None, b"k", b"\xff\0"])
@pytest.mark.parametrize("value", [b"{}", b"{", None])
def test_key_and_headers_are_kept_and_can_be_asked_for(key: bytes | None, value: bytes | None) -> None:
    event, _ = event_of(record(value, key=key, headers=HEADERS_SENT), "kafka:c/t", NOW)
    again = restore(orjson.loads(orjson.dumps(to_json(event))))
    assert key_and_headers(again) == (key, HEADERS_SENT)
    assert mismatch({"kafkaheaders.trace": "a", "kafkaheaders.twice.1": "2", "kafkaheaders.x": None}, again) is None
    assert mismatch({"kafkakey": "k"}, again) == (None if key == b"k" else 'kafkakey is absent, wanted "k"')


def test_a_cloudevent_has_the_key_and_the_headers_that_are_not_its_own_beside_it() -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t"), ("Team", b"a")]
    event, _ = event_of(record(b"1", key=b"k", headers=[*headers, ("content-type", b"text/json")]), "kafka:c/t", NOW)
    assert (event.id, event.source, event.data) == ("1", "/s", 1)
    assert event.extensions == {"kafkakey": "k", "kafkaheaders": '{"Team":"a"}'}


TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = b"00-11111111111111111111111111111111-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("sent", "trace"),
    [
        ([("traceparent", TRACE), ("TraceState", b"a=1")], {"traceparent": TRACE.decode(), "tracestate": "a=1"}),
        ([("traceparent", b"\xff"), ("tracestate", b"a=1")], {}),
        ([("traceparent", None)], {}),
        ([("traceparent", TRACE), ("traceparent", OTHER)], {}),
    ],
)
def test_a_record_is_in_the_trace_that_its_headers_name(
    sent: list[tuple[str, bytes | None]], trace: dict[str, str]
) -> None:
    plain, _ = event_of(record(b"{}", headers=sent), "kafka:c/t", NOW)
    broken, dead = event_of(record(b"{", headers=sent), "kafka:c/t", NOW)
    for event in (plain, broken):
        assert {name: value for name, value in event.extensions.items() if name.startswith("trace")} == trace
    assert dead


def test_a_cloudevent_in_a_record_keeps_a_trace_of_its_own() -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_type", b"t")]
    beside, _ = event_of(record(b"1", headers=[*headers, ("traceparent", TRACE)]), "kafka:c/t", NOW)
    own, _ = event_of(
        record(b"1", headers=[*headers, ("traceparent", TRACE), ("ce_traceparent", OTHER)]), "kafka:c/t", NOW
    )
    assert (beside.extensions["traceparent"], own.extensions["traceparent"]) == (TRACE.decode(), OTHER.decode())


def test_an_extension_of_that_name_from_elsewhere_does_no_harm() -> None:
    event = Event(source="/s", id="1", type="t", time=NOW, extensions={"kafkaheaders": "{"})
    assert mismatch({"kafkaheaders.trace": "a"}, event) == 'kafkaheaders.trace is absent, wanted "a"'


@pytest.mark.parametrize(("read", "value", "data"), [(read_text, b"\xc3\xa9", "é"), (read_bytes, b"\xff", b"\xff")])
def test_a_value_may_be_text_or_bytes(read: Any, value: bytes, data: Any) -> None:
    event, dead = event_of(record(value), "kafka:c/t", NOW, read)
    assert (event.data, dead) == (data, "")


def test_what_is_not_utf8_is_no_text() -> None:
    assert event_of(record(b"\xff"), "kafka:c/t", NOW, read_text)[1].startswith("not text in UTF-8: ")


def test_the_records_of_a_topic_made_anew_are_others() -> None:
    assert event_of(record(), "kafka:c/t", NOW, life=2)[0].id == "3/7~2"


@pytest.mark.parametrize("timestamp", [-1, 1 << 62])
def test_a_time_that_no_calendar_knows_is_now(timestamp: int) -> None:
    assert event_of(record(timestamp=timestamp), "kafka:c/t", NOW)[0].time == NOW


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"a\0b"])
def test_a_key_that_is_not_text_is_no_subject(key: bytes | None) -> None:
    assert event_of(record(key=key), "kafka:c/t", NOW)[0].subject is None


def gathering(*adds: int) -> Gathering:
    """Records 0, 1, 2 ... of ten bytes, added as so many at a time at the seconds 0, 1, 2 ..., due after five."""
    found = Gathering(Cursor(TopicPartition("t", 3), "", 0, 0))
    offset = 0
    for second, count in enumerate(adds):
        found.add([record(b"0123456789", offset=offset + number) for number in range(count)], second + 5.0)
        offset += count
    return found


def sizes(batches: Batches) -> list[int]:
    return [len(batch.records) for batch in batches]


def test_full_batches_go_at_once_and_the_rest_waits_for_its_own_time() -> None:
    some, trigger = gathering(25), KafkaBatches("t", max_records=10, max_wait_s=5)
    assert sizes(some.cut(trigger, 1.0)) == [10, 10]
    assert sizes(some.cut(trigger, 5.9)) == []
    assert sizes(some.cut(trigger, 6.0)) == [5]
    assert (some.records, some.sizes_bytes) == ([], [])


def test_the_first_record_decides_when_a_batch_is_due() -> None:
    some, trigger = gathering(1, 1, 1), KafkaBatches("t", max_records=10)
    assert sizes(some.cut(trigger, 4.9)) == []
    assert sizes(some.cut(trigger, 5.0)) == [3]


def test_a_batch_that_grows_too_large_does_not_wait() -> None:
    some, trigger = gathering(9), KafkaBatches("t", max_records=10, max_bytes=90)
    assert sizes(some.cut(trigger, 0.0)) == [9]


def test_no_batch_holds_more_than_it_may_unless_it_is_one_record() -> None:
    some, trigger = gathering(10), KafkaBatches("t", max_records=4, max_bytes=35)
    cut = some.cut(trigger, 0.0)
    assert (sizes(cut), [one.size_bytes for one in cut]) == ([3, 3, 3], [30, 30, 30])
    assert ([one.offset for one in some.records], some.sizes_bytes) == ([9], [10])
    assert sizes(gathering(10).cut(KafkaBatches("t", max_records=2, max_bytes=35), 0.0)) == [2] * 5
    assert sizes(gathering(3).cut(KafkaBatches("t", max_bytes=5), 0.0)) == [1, 1, 1]
    assert sizes(gathering(5).cut(KafkaBatches("t", max_bytes=20), 5.0)) == [2, 2, 1]


def test_a_batch_is_known_by_its_group_and_offsets() -> None:
    offsets = OffsetRange("c", "t", 3, 10, 19, 8)
    event = batch_event("g", offsets, Times(), NOW)
    assert (event.source, event.id) == ("kafka:c/t", "g:3/10-19")
    assert OffsetRange.of(event) == range_of_event(event) == offsets


def test_what_was_not_looked_at_the_longest_is_kept_no_more() -> None:
    ranges = [OffsetRange("c", "t", 0, first, first, 1) for first in range(3)]
    records = [Record("t", 0, 0, 0, None, None)]
    kept = KeptRecords(limit_bytes=1_000)
    kept.keep(ranges[0], records, 200)
    kept.keep(ranges[1], records, 200)
    assert kept.get(ranges[0]) is records
    kept.keep(ranges[2], records, 200)
    assert [kept.get(one) is not None for one in ranges] == [True, False, True]
    kept.keep(ranges[1], records, 1_000)
    assert kept.get(ranges[1]) is None


def test_a_view_is_a_sequence_of_records() -> None:
    view = RecordsView("t", 3, [record(b"a", offset=1), record(b"b", offset=2)])
    assert (view[0], len(view)) == (Record("t", 3, 1, 0, None, b"a", ()), 2)
    assert [one.value for one in view[1:]] == [b"b"]
    assert [one.offset for one in view] == [1, 2]
    assert view.values() == [b"a", b"b"]


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda: KafkaArrivals("two words"), "not a topic name"),
        (lambda: KafkaArrivals(5), r"KafkaArrivals\(5\): not a topic name"),  # type: ignore[arg-type]
        (lambda: KafkaBatches(None), "not a topic name"),  # type: ignore[arg-type]
        (lambda: KafkaArrivals("t", value=["json"]), "is none of json, text"),  # type: ignore[arg-type]
        (lambda: KafkaArrivals("t", dead_letter=5), "not a topic name"),  # type: ignore[arg-type]
        (lambda: KafkaBatches("t", mode=[]), "mode=.*: give 'parallel' or 'ordered'"),  # type: ignore[arg-type]
        (lambda: KafkaArrivals("t", start="first"), "neither 'earliest' nor 'latest'"),  # type: ignore[arg-type]
        (lambda: KafkaArrivals("t", value="xml"), "value='xml' is none of json, text, bytes"),  # type: ignore[arg-type]
        (lambda: KafkaBatches("t", max_records=0), "max_records=0: give a whole number"),
        (lambda: KafkaBatches("t", max_wait_s=-1), "max_wait_s=-1: give seconds"),
    ],
)
def test_a_wrong_trigger_is_refused_when_it_is_declared(declare: Any, words: str) -> None:
    with pytest.raises(InvalidTrigger, match=words):
        declare()


def test_declaring_a_trigger_imports_no_client() -> None:
    code = "import sys; from triggers import KafkaBatches; KafkaBatches('t'); sys.exit('aiokafka' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_format_of_events_that_kafka_does_not_carry_is_refused_with_the_one_that_it_does() -> None:
    xml = [("content-type", b"application/cloudevents+xml")]
    with pytest.raises(InvalidEvent, match=r"send application/cloudevents\+json$"):
        from_kafka(xml, None, b"<event/>")
