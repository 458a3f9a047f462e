"""The rules of streaming features that need no broker: declarations, records, events."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from aiokafka import ConsumerRecord

from triggers.errors import InvalidTrigger
from triggers.stream import StreamFeatures
from triggers.stream.aggregates import Count, Mean, Sum
from triggers.stream.event import RecordEyes, Unreadable, WindowEvents
from triggers.stream.listener import changelog_of
from triggers.stream.windows import Closed, Row

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def record(value: Any, *, offset: int = 7, key: bytes | None = None, timestamp: int = 5_000) -> Any:
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    return ConsumerRecord("t", 3, offset, timestamp, 0, key, raw, None, 0, len(raw), ())


def eyes(**declared: Any) -> RecordEyes:
    trigger = StreamFeatures("t", declared.pop("key", "data.k"), **declared)
    return RecordEyes(trigger, "kafka:c/t", lambda: NOW)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"window_s": 0.5}, "window_s must be"),
        ({"grace_s": -1}, "grace_s must be"),
        ({"idle_s": 0}, "idle_s must be"),
        ({"flush_every_s": 0}, "flush_every_s must be"),
        ({"max_rows": 0}, "max_rows must be"),
        ({"aggregates": {}}, "aggregates is empty"),
        ({"aggregates": {"key": Count()}}, "an aggregate is called 'key'"),
        ({"aggregates": {"n": 7}}, "aggregate 'n' is 7: use Count()"),
        ({"aggregates": {"n": Mean()}}, "aggregate 'n' has no path"),
        ({"aggregates": {"n": Mean("a..b")}}, "path='a..b' is not a path"),
        ({"key": ""}, "key='' is not a path"),
        ({"time": "a."}, "time='a.' is not a path"),
        ({"window_s": "60"}, "window_s must be"),
        ({"grace_s": None}, "grace_s must be"),
        ({"idle_s": "60"}, "idle_s must be"),
        ({"flush_every_s": []}, "flush_every_s must be"),
        ({"max_rows": 1.5}, "max_rows must be"),
        ({"aggregates": None}, "aggregates must be a mapping"),
        ({"aggregates": [Count()]}, "aggregates must be a mapping"),
        ({"key": 5}, "key=5 is not a path"),
        ({"time": None}, "time=None is not a path"),
        ({"start": ["earliest"]}, "neither 'earliest' nor 'latest'"),
        ({"start": "now"}, "neither 'earliest' nor 'latest'"),
    ],
)
def test_what_is_declared_wrongly_is_refused_with_the_remedy(declared: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidTrigger, match=said.replace("(", r"\(").replace(")", r"\)").replace(".", r"\.")):
        StreamFeatures("t", **{"key": "data.k", **declared})


def test_a_pipeline_file_that_declares_streams_loads_without_faust() -> None:
    declared = "import sys, triggers.stream as t; t.StreamFeatures('t', 'k')"
    code = f"{declared}; print('faust' in sys.modules, 'aiokafka' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


def test_the_shape_is_the_same_in_every_process_and_another_for_another_declaration() -> None:
    digest = StreamFeatures("t", "k", window_s=60).shape().digest
    assert digest == StreamFeatures("other", "k", window_s=60.0, flush_every_s=1).shape().digest
    others = [{"window_s": 61}, {"grace_s": 1}, {"time": "x"}, {"aggregates": {"count": Sum("x")}}]
    assert len({digest, *(StreamFeatures("t", "k", **other).shape().digest for other in others)}) == 5


def test_a_record_is_read_by_paths_as_in_where() -> None:
    see = eyes(time="data.at", aggregates={"n": Count(), "late": Mean("data.delay")})
    found = see.read(record({"k": "AA", "at": "2013-01-01T00:00:01.5+00:00", "delay": 3}))
    assert (found.offset, found.time_ms, found.key, list(found.numbers)) == (7, 1_356_998_401_500, b'"AA"', [1, 3])
    assert eyes(time="data.at").read(record({"at": 1.5})).time_ms == 1_500
    assert eyes(key="subject").read(record({}, key=b"JFK")).key == b'"JFK"'
    assert eyes().read(record({}, timestamp=5_000)).time_ms == 5_000


def test_a_record_without_its_key_is_of_the_key_null() -> None:
    keys = [eyes().read(record(value)).key for value in ({}, {"k": None}, {"k": "null"})]
    assert keys == [b"null", b"null", b'"null"']


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"{", "not JSON"),
        ({"k": {"a": 1}}, "data.k is an object: no key"),
        ({"k": "x" * 1100}, "longer than 1024 bytes"),
        ({"delay": "seven"}, "late: data.delay: 'seven' is no number"),
        ({"at": "yesterday"}, "data.at is 'yesterday': neither RFC 3339"),
        ({"at": None}, "data.at is None: neither RFC 3339"),
        ({"at": 1e300}, "data.at is 1e[+]300: neither"),
        ({"at": "1899-01-01T00:00:00Z"}, "before 1900"),
        ({"at": (NOW + timedelta(hours=2)).isoformat()}, "more than an hour ahead"),
    ],
)
def test_what_cannot_be_read_says_why(value: Any, said: str) -> None:
    see = eyes(time="data.at", aggregates={"late": Mean("data.delay")})
    whole = {"at": 0, "delay": 1, **value} if isinstance(value, dict) else value
    with pytest.raises(Unreadable, match=said):
        see.read(record(whole))


def test_a_record_without_any_time_cannot_be_read() -> None:
    with pytest.raises(Unreadable, match="Kafka knows no time of it"):
        eyes().read(record({}, timestamp=-1))


def test_a_window_is_told_in_events_of_a_bounded_number_of_rows() -> None:
    shape = StreamFeatures("t", "k", window_s=60).shape()
    rows = {orjson.dumps(f"k{at}"): Row(at, 10 + at, 2, [2]) for at in range(5)}
    maker = WindowEvents("g", "c", "t", 3, shape, max_rows=2)
    events = list(maker.of_window(Closed(120_000, rows)))
    start, source = "1970-01-01T00:02:00Z", "kafka:c/t"
    assert [(one.source, one.id) for one in events] == [(source, f"g:3/{start}+60000/14.{part}") for part in (1, 2, 3)]
    assert [len(one.data["rows"]) for one in events] == [2, 2, 1]
    assert events[2].data == {
        "cluster": "c",
        "topic": "t",
        "partition": 3,
        "window_start": start,
        "window_end": "1970-01-01T00:03:00Z",
        "offsets": {"first": 0, "last": 14, "count": 10},
        "part": 3,
        "parts": 3,
        "rows": [{"key": "k4", "count": 2}],
    }
    assert {one.time for one in events} == {datetime(1970, 1, 1, 0, 3, tzinfo=UTC)}


def test_a_record_in_no_window_is_an_event_of_the_streams_own() -> None:
    maker = WindowEvents("g", "c", "t", 3, StreamFeatures("t", "k").shape(), max_rows=2)
    event = maker.of_record(record(b"{\xff"), NOW)
    assert (event.source, event.id, event.data) == ("kafka:c/t", "g:3/7", b"{\xff")


def test_a_changelog_has_a_topic_name_and_one_of_its_own() -> None:
    names = {changelog_of(group) for group in ("p.stream.a/kafka-stream:t", "p.stream.a-kafka-stream:t", "é" * 300)}
    assert len(names) == 3
    assert all(len(name) <= 249 and name.isascii() and name.endswith("-changelog") for name in names)
