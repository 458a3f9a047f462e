"""Secrets in the data of events: what is hidden of them, from whom, and what a trigger may not go by."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stages.secret_params import LONGEST_TEXT, MOST_TEXTS, Hidden, values_in
from triggers.base import Binding, Trigger
from triggers.cloudevents import CloudEvents, restore, to_json
from triggers.coalesce import Batch
from triggers.errors import InvalidTrigger
from triggers.event import Event
from triggers.files import Files
from triggers.kafka import KafkaArrivals
from triggers.marked import hidden, hidden_in, marked, secrets_of, shown, untold
from triggers.match import arrival
from triggers.rate import RateLimit
from triggers.replay import Replay, replay_event, replayed
from triggers.webhook import Webhook

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(data: Any, *secrets: str) -> Event:
    return marked(Event(source="/s", id="1", type="t", time=NOW, data=data), secrets)


@pytest.mark.parametrize(
    ("data", "secrets", "seen"),
    [
        ({"a": 1, "b": 2}, ["data.a"], {"a": "***", "b": 2}),
        ({"a": {"b": 1, "c": 2}}, ["data.a.b"], {"a": {"b": "***", "c": 2}}),
        ({"a": {"b": 1}}, ["data.a"], {"a": "***"}),
        ({"a": [{"b": 1}, {"c": 2}, 3]}, ["data.a.b"], {"a": [{"b": "***"}, {"c": 2}, 3]}),
        ({"a": [{"b": 1}, {"b": 2}]}, ["data.a.1.b"], {"a": [{"b": 1}, {"b": "***"}]}),
        ([[{"b": 1}]], ["data.b"], [[{"b": "***"}]]),
        ({"a.b": 1}, ["data.a.b"], {"a.b": "***"}),
        ({"a": None}, ["data.a", "data.none.at.all"], {"a": None}),
        ({"a": '{"b": 1}'}, ["data.a.b"], {"a": "***"}),
        ({"a": 5}, ["data.a.b"], {"a": 5}),
        ({"a": 1}, ["data"], "***"),
        ("<xml/>", ["data.a"], "***"),
        (b"\xff", ["data.a"], "***"),
        (None, ["data.a"], None),
    ],
)
def test_what_is_seen_of_data(data: Any, secrets: Sequence[str], seen: Any) -> None:
    one = event(data, *secrets)
    assert hidden(one).data == seen
    assert shown(to_json(one)).get("data") == seen
    assert "data_base64" not in shown(to_json(one))
    assert one.data == restore(to_json(one)).data == data


def test_what_is_shown_is_equal_only_to_what_it_hides() -> None:
    one, same, other = (shown(to_json(event({"a": value}, "data.a")), Hidden.of) for value in (1, 1, 2))
    assert one == same
    assert one != other


def test_a_replay_hides_what_the_events_hide_that_it_is_of() -> None:
    one, other = event({"a": "first"}, "data.a"), event({"a": "second"}, "data.a")
    again = replay_event(Replay(one, 1, True, True, "kim", (one, other)), "p", "k", NOW)
    seen = shown(to_json(again))["data"]
    assert [each["data"] for each in (seen["event"], *seen["events"])] == [{"a": "***"}] * 3
    assert hidden(again).data == seen
    assert hidden_in(again) == ["first", "first", "second"]
    kept = replayed(restore(to_json(again)))
    assert kept is not None
    assert kept.original == one
    assert replay_event(Replay(kept.original, 1, True, True, "kim"), "p", "l", NOW).data["event"]["data"] == {
        "a": "first"
    }


def test_all_who_hear_an_event_see_it_without_what_any_of_them_marks() -> None:
    triggers = [CloudEvents(secrets=["data.a.b"]), CloudEvents(params={"x": "data.c"}, secrets=["data.a", "data.d"])]
    bindings = [Binding(f"p{number}", trigger) for number, trigger in enumerate(triggers)]
    assert secrets_of(bindings) == ["data.a", "data.d"]
    found = arrival(bindings, event({"a": {"b": 1}, "c": 2, "d": 3}))
    assert found.event.data == {"a": {"b": 1}, "c": 2, "d": 3}
    assert found.offers[1].params == {"x": 2}
    strict = Binding("p2", CloudEvents(where={"d": 4}))
    assert arrival([*bindings, strict], found.event).offers[2].reason == 'filter: d is "***", wanted 4'


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Files("*.csv", secrets=["data.a"]),
        lambda: Webhook("w", secrets=["token"]),
        lambda: Webhook("w", secrets=["data."]),
        lambda: Webhook("w", secrets=["data.a b"]),
        lambda: Webhook("w", secrets="data.a"),
        lambda: Webhook("w", secrets=["subject"]),
        lambda: Webhook("w", secrets=["data.a"], where={"a": 1}),
        lambda: Webhook("w", secrets=["data.a"], where={"any": [{"not": {"data.a.b": 1}}]}),
        lambda: Webhook("w", secrets=["data.a.b"], where={"data.a": {"exists": True}}),
        lambda: CloudEvents(secrets=["data.a"], params={"x": "data.a"}),
        lambda: CloudEvents(secrets=["data.a"], concurrency_key="a"),
        lambda: KafkaArrivals("t", secrets=["data"], params={"x": "data.y"}),
        lambda: KafkaArrivals("t", secrets=["data.a.b"], coalesce=Batch(2, 1, "data.a.0.b")),
        lambda: KafkaArrivals("t", secrets=["data.a"], rate_limit=RateLimit(1, 60, "data.a")),
    ],
)
def test_what_cannot_be_a_secret_or_is_gone_by_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidTrigger, match="secret"):
        wrong()


def test_attributes_are_no_data_and_may_be_gone_by() -> None:
    trigger: Trigger = Webhook("w", secrets=["data.subject"], where={"subject": "x", "kafkaheaders.a": "b"})
    assert trigger.secrets == ["data.subject"]


def test_what_cannot_be_read_tells_nothing_of_what_it_holds() -> None:
    assert untold("not JSON: the value holds 123456") == (
        "not JSON: what is wrong with it is not told, for it holds secrets"
    )


def test_what_is_looked_for_in_logs_is_bounded() -> None:
    many = event({"a": [str(number) for number in range(1000)], "b": "x" * (LONGEST_TEXT + 1), "c": b"raw"}, "data")
    assert len(values_in([many])) == MOST_TEXTS
    assert values_in([event(b"raw", "data"), event({"n": 1234}, "data.n"), event({"n": 1})]) == ["raw", "1234"]


def test_stored_events_are_read_in_one_place() -> None:
    """By `service.db.envelopes`, which knows what is not to be seen."""
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / "service").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("loads") and "envelope" in ast.unparse(node)
    ]
    assert wrong == []
