"""Trace context by the sentences of the W3C recommendation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from triggers.cloudevents import from_http
from triggers.trace import continued, trace_of, trace_parent, trace_state, traced

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (GOOD, GOOD),
        (f" \t{GOOD}\t ", GOOD),
        (f"00-{TRACE}-{SPAN}-ff", f"00-{TRACE}-{SPAN}-ff"),
        # A later version: what version 00 knows is read, more may follow a dash.
        (f"cc-{TRACE}-{SPAN}-03", GOOD),
        (f"cc-{TRACE}-{SPAN}-01-more", GOOD),
        (f"cc-{TRACE}-{SPAN}-01.more", None),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (GOOD.upper(), None),
        (f"{GOOD}, {GOOD}", None),
        (GOOD + "\n", None),
        ("", None),
        (None, None),
    ],
)
def test_a_traceparent_is_read_or_dropped(value: str | None, kept: str | None) -> None:
    assert trace_parent(value) == kept


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("foo=1", "foo=1"),
        ("foo=1 , ,bar@x=2,", "foo=1,bar@x=2"),
        ("foo=1,foo=2", None),
        ("foo", None),
        ("foo=", None),
        ("FOO=1", None),
        ("foo=é", None),
        ("foo=a=b", None),
        (",".join(f"k{n}=1" for n in range(32)), ",".join(f"k{n}=1" for n in range(32))),
        (",".join(f"k{n}=1" for n in range(33)), None),
        ("", None),
    ],
)
def test_a_tracestate_is_read_or_dropped(value: str, kept: str | None) -> None:
    assert trace_state(value) == kept


def test_a_bad_tracestate_costs_only_itself_and_nothing_counts_without_a_traceparent() -> None:
    assert trace_of({"traceparent": GOOD, "tracestate": "bad"}) == {"traceparent": GOOD}
    assert trace_of({"traceparent": GOOD, "tracestate": "a=1"}) == {"traceparent": GOOD, "tracestate": "a=1"}
    assert trace_of({"tracestate": "a=1"}) == trace_of({"traceparent": "bad", "tracestate": "a=1"}) == {}


def test_an_event_keeps_a_trace_of_its_own() -> None:
    own = f"00-{TRACE[::-1]}-{SPAN}-00"
    assert traced({"traceparent": own}, {"traceparent": GOOD}) == {"traceparent": own}
    assert traced({"a": 1}, {"traceparent": GOOD}) == {"a": 1, "traceparent": GOOD}
    assert traced({"a": 1}, {"traceparent": "bad"}) == {"a": 1}


def test_what_an_event_causes_stays_in_its_trace_and_is_the_same_when_repeated() -> None:
    first, again = (continued({"traceparent": GOOD, "tracestate": "a=1"}, "f" * 32, "7/train") for _ in range(2))
    assert first == again
    assert first["traceparent"][:36] == GOOD[:36]
    assert first["traceparent"] != GOOD
    assert first["tracestate"] == "a=1"
    assert trace_parent(first["traceparent"]) == first["traceparent"]
    assert continued({}, "f" * 32, "7/train")["traceparent"].startswith(f"00-{'f' * 32}-")


def test_the_trace_of_a_request_is_that_of_its_events() -> None:
    body = b'{"specversion": "1.0", "id": "1", "source": "/a", "type": "t"}'
    headers = {"Content-Type": "application/cloudevents+json", "TraceParent": GOOD}
    [event] = from_http(headers, body, received_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert event.extensions == {"traceparent": GOOD}
