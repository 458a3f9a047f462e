"""A call is plain JSON, so that one command can make it anywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from stages import Event
from stages.artifacts import ArtifactRef, digest_of
from stages.call import Call
from stages.errors import InvalidCall
from tests.unit.attempts import EVENT, a_call

AT = datetime(2013, 1, 2, 3, 4, 5, 6000, UTC)
SMALL = ArtifactRef(digest_of(b"\x00\xff"), "bytes", 2, b"\x00\xff")
LARGE = ArtifactRef(digest_of(b"large"), "parquet:polars", 10_000)


@pytest.mark.parametrize(
    "event",
    [
        EVENT,
        Event(source="s", id="i", type="t", time=AT),
        Event(source="s", id="i", type="t", time=AT, data=b"\x00\xff", datacontenttype="application/octet-stream"),
        Event(source="s", id="i", type="t", time=AT, subject="x", dataschema="http://x", data=[1, None]),
        Event(source="s", id="i", type="t", time=AT, extensions={"traceparent": "00-1", "depth": 3, "dry": True}),
    ],
)
def test_a_call_survives_being_written_and_read(event: Event) -> None:
    call = a_call(event=event, params={"month": 1}, inputs={"a": SMALL, "b": LARGE}, timeout_s=1.5)
    assert Call.from_json(call.to_json()) == call


def test_the_event_in_a_call_is_a_cloudevent() -> None:
    event = orjson.loads(a_call().to_json())["event"]
    assert event == {
        "specversion": "1.0",
        "source": "/tests",
        "id": "1",
        "type": "test",
        "time": "2013-01-02T00:00:00+00:00",
        "data": {"month": 1},
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run_id": "seven"}, "run_id: "),
        ({"stge": "x"}, "stge: Extra"),
        ({"event": {"id": "1"}}, r"event\.source: Field required"),
        ({"inputs": {"a": {"digest": "../x", "codec": "json", "size_bytes": 1}}}, r"inputs\.a\.digest: "),
        (
            {"inputs": {"a": {"digest": "0" * 64, "codec": "json", "size_bytes": 1, "inline": "!"}}},
            r"inputs\.a\.inline: ",
        ),
    ],
)
def test_a_wrong_call_names_its_wrong_field(change: dict[str, Any], message: str) -> None:
    plain = orjson.loads(a_call().to_json()) | change
    with pytest.raises(InvalidCall, match=message):
        Call.from_json(orjson.dumps(plain))


def test_what_is_no_json_is_no_call() -> None:
    with pytest.raises(InvalidCall, match="not a stage call"):
        Call.from_json(b"{")


def test_a_call_carries_every_event_of_a_shared_run() -> None:
    joined = Event(source="s", id="2", type="t", time=AT, data=b"\x00\xff")
    call = a_call(event=joined, events=(EVENT, joined))
    assert Call.from_json(call.to_json()) == call
    assert call.all_events == (EVENT, joined)
    assert a_call().all_events == (EVENT,)
    assert "events" not in orjson.loads(a_call().to_json())
