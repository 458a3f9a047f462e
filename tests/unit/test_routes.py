"""By which way an event came, and which triggers it reaches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triggers.approval import approval_event
from triggers.base import Binding
from triggers.event import Event
from triggers.files import Files
from triggers.files.event import landed
from triggers.kafka import KafkaArrivals
from triggers.manual import Manual, manual_event
from triggers.route import Route, route_of
from triggers.schedule import Cron, Every, tick_event
from triggers.where import mismatch, misses

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(source: str = "/s", **more: Any) -> Event:
    return Event(**{"source": source, "id": "1", "type": "t", "time": NOW, **more})


def test_our_own_events_tell_how_they_came() -> None:
    tick = tick_event(Binding("a/b", Cron("0 2 * * *")), NOW)
    assert route_of(tick) == Route("schedule", "a/b/cron:0 2 * * *")
    assert route_of(manual_event("my pipeline", {}, None, "1", "kim", NOW)) == Route("manual", "my pipeline")
    assert route_of(event("tidemill:hooks/ci")) == Route("webhook", "ci")
    assert route_of(event("https://api.github.com/repos/a/b", extensions={"tidemillhook": "ci"})) == Route(
        "webhook", "ci"
    )
    assert route_of(event("kafka:abc/data.arrivals")) == Route("kafka", "data.arrivals")
    batch = event("kafka:abc/data.arrivals", type="dev.tidemill.kafka.batch")
    assert route_of(batch) == Route("kafka-batch", "data.arrivals")
    assert route_of(event("tidemill:replay/p", type="dev.tidemill.replay")).kind == "replay"
    assert route_of(event("tidemill:emitted/a/b/subrun", type="dev.tidemill.subrun")).kind == "subrun"
    assert route_of(event("/anybody")) == route_of(event("tidemill:emitted/a/b")) == Route("http")
    vote: dict[str, Any] = {"pipeline": "a", "run_id": 1, "gate": "g", "decision": "approved", "by": "kim"}
    assert route_of(approval_event(**vote, reason="", now=NOW, subjects={})).kind == "approval"
    file = landed(path="/r/a.csv", key="a.csv", size_bytes=1, mtime_ns=1, identity="x", digest=None, files=None)
    assert route_of(file, "/r") == Route("file", "/r/a.csv", "/r")
    folder = landed(path="/r/d", key="d/", size_bytes=1, mtime_ns=1, identity="x", digest=None, files=2)
    assert route_of(folder, "/r").target == "/r/d/"


def test_a_schedule_hears_its_own_ticks_only() -> None:
    trigger = Every("15m")
    route = route_of(tick_event(Binding("p", trigger), NOW))
    assert trigger.deaf_to(route, "p") is None
    assert trigger.deaf_to(route, "q") == "it hears the clock alone"


@pytest.mark.parametrize(
    ("pattern", "path", "heard"),
    [
        ("landing/*.csv", "/r/landing/a.csv", True),
        ("landing/*.csv", "/r/landing/a.csv/", False),
        ("landing/*.csv", "/r/landing/a.csv.tmp", False),
        ("landing/**/*.csv", "/r/landing/x/y/a.csv", True),
        ("landing/*", "/r/landing/a.part", False),
        ("landing/dt=*/", "/r/landing/dt=1/", True),
        ("landing/dt=*/", "/r/landing/dt=1/a.csv", False),
        ("/abs/*.csv", "/abs/a.csv", True),
        ("landing/*.csv", "/", False),
    ],
)
def test_files_hear_what_their_pattern_means(pattern: str, path: str, heard: bool) -> None:
    assert (Files(pattern).deaf_to(Route("file", path, "/r"), "p") is None) is heard


def test_kafka_hears_its_topic_and_manual_its_pipeline() -> None:
    assert KafkaArrivals("a").deaf_to(Route("kafka", "a"), "p") is None
    assert KafkaArrivals("a").deaf_to(Route("kafka", "b"), "p") == "it reads the topic a"
    assert Manual().deaf_to(Route("manual", "p"), "p") is None
    assert Manual().deaf_to(Route("manual", "q"), "p") is not None


def test_all_clauses_that_say_no_are_told() -> None:
    where = {"type": "x", "all": [{"data.a": 1}, {"data.b": 2}], "any": [{"data.c": 1}, {"data.d": 1}], "id": "1"}
    found = list(misses(where, event(data={"a": 5, "b": 2})))
    assert [one.clause for one in found] == ["type", "data.a", "any"]
    assert found[1].told == "data.a is 5, wanted 1"


@given(
    where=st.recursive(
        st.dictionaries(
            st.sampled_from(["type", "data.a", "data.b", "id"]), st.sampled_from(["t", 1, 2, None, [1, 2]])
        ),
        lambda inner: st.one_of(
            st.builds(lambda parts: {"any": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda parts: {"all": parts}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda part: {"not": part}, inner),
        ),
        max_leaves=6,
    ),
    data=st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from([1, 2, None])),
)
def test_the_first_clause_told_is_the_reason_of_the_filter(where: dict[str, Any], data: dict[str, Any]) -> None:
    one = event(data=data)
    assert next((miss.told for miss in misses(where, one)), None) == mismatch(where, one)
