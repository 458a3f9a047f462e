"""The CloudEvents codec, sentence by sentence, and against bytes that mean harm."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triggers.attributes import make_event
from triggers.cloudevents import from_http, from_json, from_kafka, restore, to_json
from triggers.errors import InvalidEvent
from triggers.event import Event
from triggers.payload import MAX_DEPTH

NOW = datetime(2026, 11, 22, tzinfo=UTC)
JSON = "application/cloudevents+json"
MINIMAL = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
CE = {f"ce-{name}": value for name, value in MINIMAL.items()}


def refused(headers: Any, body: bytes) -> int:
    with pytest.raises(InvalidEvent) as error:
        from_http(headers, body)
    return error.value.status


def test_event_without_time_gets_the_time_it_was_received() -> None:
    assert from_json(MINIMAL, received_at=NOW).time == NOW


def test_time_becomes_utc_and_is_cut_to_microseconds() -> None:
    event = from_json({**MINIMAL, "time": "2026-11-22T01:00:00.123456789+01:00"})
    assert event.time == datetime(2026, 11, 22, 0, 0, 0, 123456, tzinfo=UTC)
    assert event.time.tzinfo is UTC


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+01:00", "0000-01-01T00:00:00Z", "2026-06-30T23:59:60Z", 5])
def test_time_no_datetime_can_hold_is_refused(time: Any) -> None:
    with pytest.raises(InvalidEvent, match="time is"):
        from_json({**MINIMAL, "time": time})


@pytest.mark.parametrize(
    "source",
    ["https://github.com/cloudevents", "mailto:a@b.example", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
     "cloudevents/spec/pull/123", "/sensors/tn-1234567/alerts", "1-555-123-4567", "#fragment", "?q", "//host:80/a",
     "http://[::1]:80/x?y#z", "./a:b", "%C3%A9", "tidemill:mill/pipelines/p"],
)  # fmt: skip
def test_source_may_be_any_uri_reference(source: str) -> None:
    assert from_json({**MINIMAL, "source": source}).source == source


@pytest.mark.parametrize(
    ("source", "what"),
    [("tidemill:schedule/p/nightly", "ticks"), ("tidemill:approvals", "decisions at gates"), ("tidemill:files", "land"),
     ("tidemill:hooks/ci", "deliveries"), ("tidemill:manual/p", "by hand"), ("kafka:cluster/topic", "of Kafka"),
     ("kinesis:1/eu/s", "of Kinesis"), ("pulsar:a/t", "of Pulsar"), ("tidemill:emitted/p/s", "stages")],
)  # fmt: skip
def test_nobody_outside_speaks_in_the_name_of_a_trigger(source: str, what: str) -> None:
    """An event of the same source and id, told before, would be taken for the tick, the vote, the file, the record."""
    with pytest.raises(InvalidEvent, match=f"is kept for .*{what}") as error:
        from_json({**MINIMAL, "source": source})
    assert error.value.status == 422
    headers = [(f"ce_{name}", str(value).encode()) for name, value in {**MINIMAL, "source": source}.items()]
    with pytest.raises(InvalidEvent, match="is kept for"):
        from_kafka(headers, None, b"")


@pytest.mark.parametrize(
    "source", ["a b", "é", "%zz", "1:a", ":a", "a#b#c", "//h[", "http://a:b:c/[", "<a>", "//a:80x/"]
)
def test_source_that_is_no_uri_reference_is_refused(source: str) -> None:
    with pytest.raises(InvalidEvent, match="source is"):
        from_json({**MINIMAL, "source": source})


def test_dataschema_must_be_absolute() -> None:
    assert from_json({**MINIMAL, "dataschema": "https://s.example/v#/a"}).dataschema == "https://s.example/v#/a"
    with pytest.raises(InvalidEvent, match="dataschema is"):
        from_json({**MINIMAL, "dataschema": "/relative"})


@pytest.mark.parametrize("name", ["data", "My", "my_ext", "my-ext", "é", ""])
def test_extension_names_are_lower_case_letters_and_digits(name: str) -> None:
    with pytest.raises(InvalidEvent, match="names are lower-case"):
        make_event({**MINIMAL, name: "x"}, None, NOW)


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 1.0, 1.5, {}, [], "a\nb", "￾"])
def test_extension_value_of_no_cloudevents_type_is_refused(value: Any) -> None:
    with pytest.raises(InvalidEvent, match="ext is"):
        from_json({**MINIMAL, "ext": value})


def test_extensions_keep_their_json_types_and_may_be_empty() -> None:
    given = {"a": True, "b": -(2**31), "c": 2**31 - 1, "d": "", "traceparent": "00-0af7-b7ad-01"}
    assert from_json({**MINIMAL, **given}).extensions == given


@pytest.mark.parametrize("name", ["id", "type", "subject", "source"])
def test_attribute_longer_than_an_index_holds_is_refused(name: str) -> None:
    assert from_json({**MINIMAL, name: "x" * 2048})
    with pytest.raises(InvalidEvent, match="longer than"):
        from_json({**MINIMAL, name: "x" * 2049})


@pytest.mark.parametrize("encoded", ["a", "YQ", "Y Q==", "é", 5, [], {}, False])
def test_data_base64_must_be_base64(encoded: Any) -> None:
    with pytest.raises(InvalidEvent, match="data_base64"):
        from_json({**MINIMAL, "data_base64": encoded})


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/json", b'{"a":1}', {"a": 1}),
        ("application/vnd.acme+json; v=1", b"[1]", [1]),
        ("application/json", b"", None),
        ("text/plain; charset=utf-8", "é".encode(), "é"),
        ("text/plain", b"\xff", b"\xff"),
        ("text/csv; charset=iso-8859-1", b"\xe9", b"\xe9"),
        ("image/png", b"{}", b"{}"),
        (None, b"{}", b"{}"),
    ],
)
def test_binary_data_is_read_as_its_content_type_says(content_type: str | None, body: bytes, data: Any) -> None:
    headers = CE if content_type is None else {**CE, "content-type": content_type}
    (event,) = from_http(headers, body)
    assert (event.data, event.datacontenttype) == (data, content_type)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({**CE, "content-type": "application/json"}, b"{bad", 400),
        ({**CE, "content-type": "application/json; charset=utf-16"}, b"{}", 415),
        ({**CE, "content-type": "xyz"}, b"", 422),
        ({**CE, "ce-id": "%"}, b"", 400),
        ({**CE, "ce-my_ext": "x"}, b"", 422),
        ({**CE, "ce-subject": "caf\xe9"}, b"", 400),
        ({"content-type": JSON}, b"", 400),
        ({"content-type": JSON}, b"\xff", 400),
        ({"content-type": JSON}, b'{"a":NaN}', 400),
        ({"content-type": JSON}, b"[]", 422),
        ({"content-type": f"{JSON}; charset=latin1"}, b"{}", 415),
        ({"content-type": "application/cloudevents"}, b"{}", 415),
        ({"content-type": "application/cloudevents+json; ="}, b"{}", 415),
        ({"content-type": "application/json"}, b"{}", 415),
        ({}, b"", 415),
    ],
)
def test_each_kind_of_bad_request_has_its_status(headers: dict[str, str], body: bytes, status: int) -> None:
    assert refused(headers, body) == status


def test_headers_may_come_as_the_bytes_of_asgi() -> None:
    headers = [(name.upper().encode(), value.encode()) for name, value in CE.items()]
    (event,) = from_http([*headers, (b"ce-subject", "é".encode())], b"")
    assert (event.id, event.subject) == ("1", "é")


def test_repeated_headers_are_joined_as_http_has_it() -> None:
    headers = [(name.encode(), value.encode()) for name, value in CE.items()]
    assert from_http([*headers, (b"CE-ID", b"2")], b"")[0].id == "1, 2"


def test_batch_error_names_the_event() -> None:
    body = orjson.dumps([MINIMAL, {**MINIMAL, "id": ""}])
    with pytest.raises(InvalidEvent, match="event 1 of the batch: id is empty"):
        from_http({"content-type": "application/cloudevents-batch+json"}, body)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1_000, 500_000])
def test_nesting_bomb_is_refused(opening: str, depth: int) -> None:
    closing = "]" if opening == "[" else "}"
    bomb = (opening * depth + "1" + closing * depth).encode()
    assert refused({"content-type": JSON}, b'{"data":' + bomb + b"}") == 422
    assert refused({**CE, "content-type": "application/json"}, bomb) == 422


def test_deepest_data_that_is_accepted_can_be_written_again() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    (event,) = from_http({**CE, "content-type": "application/json"}, deepest)
    wide = b"[" + b"[]," * 1_000 + b"[]]"
    from_http({**CE, "content-type": "application/json"}, wide)
    assert restore(orjson.loads(orjson.dumps(to_json(event)))) == event


def test_kafka_attribute_given_twice_is_refused() -> None:
    headers = [(f"ce_{name}", value.encode()) for name, value in MINIMAL.items()]
    with pytest.raises(InvalidEvent, match="ce_id"):
        from_kafka([*headers, ("ce_id", b"2")], None, b"")


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cn", "Cs"]), min_size=1, max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
EVENTS = st.builds(
    Event,
    source=st.sampled_from(["/s", "urn:x:1", "#f"]),
    id=TEXT,
    type=TEXT,
    time=st.datetimes(timezones=st.just(UTC)),
    subject=st.none() | TEXT,
    data=VALUES | st.binary(),
    datacontenttype=st.none() | st.just("application/json"),
    extensions=st.dictionaries(
        st.from_regex(r"\A[a-z0-9]{8,12}\Z"), st.booleans() | st.integers(-(2**31), 2**31 - 1) | TEXT, max_size=3
    ),
)


@settings(deadline=None)
@given(EVENTS)
def test_event_survives_its_structured_form(event: Event) -> None:
    written = orjson.loads(orjson.dumps(to_json(event)))
    assert from_json(written) == event
    assert restore(written) == event


HEADER_TEXT = st.text(st.characters(max_codepoint=255), max_size=20)
CE_NAMES = st.sampled_from(["ce-id", "ce-source", "ce-type", "ce-specversion", "ce-time", "ce-subject", "ce-dataschema",
                            "ce-ext", "content-type"])  # fmt: skip
CONTENT_TYPES = st.sampled_from(["application/json", JSON, "application/cloudevents-batch+json", "text/plain", ""])
BODIES = st.binary(max_size=60) | VALUES.map(orjson.dumps) | st.fixed_dictionaries(
    {name: st.just(value) | VALUES for name, value in MINIMAL.items()},
    optional=dict.fromkeys(("time", "subject", "datacontenttype", "dataschema", "data", "data_base64", "e"), VALUES),
).map(orjson.dumps)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(CE_NAMES, HEADER_TEXT), st.none() | CONTENT_TYPES, st.booleans(), BODIES)
def test_whatever_is_posted_is_an_event_or_an_invalid_event(
    headers: dict[str, str], content_type: str | None, complete: bool, body: bytes
) -> None:
    if content_type is not None:
        headers = {**headers, "content-type": content_type}
    with suppress(InvalidEvent):
        for event in from_http({**CE, **headers} if complete else headers, body):
            orjson.dumps(to_json(event))


RECORD_NAMES = CE_NAMES.map(lambda name: name.replace("ce-", "ce_")) | st.text(max_size=5)


@settings(deadline=None)
@given(st.lists(st.tuples(RECORD_NAMES, st.binary(max_size=9))), st.none() | BODIES)
def test_whatever_a_record_holds_is_an_event_or_none_or_an_invalid_event(
    headers: list[tuple[str, bytes]], value: bytes | None
) -> None:
    complete = [(f"ce_{name}", text.encode()) for name, text in MINIMAL.items()]
    for some in (headers, [*complete, *headers]):
        with suppress(InvalidEvent):
            from_kafka(some, b"key", value)
