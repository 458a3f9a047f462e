"""The keys of a run, as they are read from its event; and its cause."""

from __future__ import annotations

from typing import Any

import pytest

from service.cause import DEEPEST, Cause, cause_of, too_deep
from service.limits import UNLIMITED, key_of, limits_of
from stages.limits import Concurrency, Rate
from stages.policy import RunPolicy
from triggers.event import Event, utc_now
from triggers.manual import manual_event


def event(data: Any = None, source: str = "tests", **extensions: Any) -> Event:
    return Event(source=source, id="1", type="t", time=utc_now(), subject="flights", data=data, extensions=extensions)


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ("acme", "acme"),
        (7, "7"),
        (True, "true"),
        ({"b": 1, "a": [None]}, '{"a":[null],"b":1}'),
        ("", ""),
        (None, None),
    ],
)
def test_a_key_is_the_value_as_text(data: Any, key: str | None) -> None:
    assert key_of("data.customer", event({"customer": data})) == key


def test_a_start_by_hand_counts_as_what_was_given() -> None:
    by_data = manual_event("p", {"customer": "of the params"}, {"customer": "acme"}, None, "kim", utc_now())
    assert key_of("data.customer", by_data) == "acme"
    by_params = manual_event("p", {"customer": "acme"}, None, None, "kim", utc_now())
    assert key_of("data.customer", by_params) == "acme"


def test_a_key_may_be_an_attribute() -> None:
    assert key_of("subject", event()) == "flights"


@pytest.mark.parametrize("value", ["x" * 201, "a\0b", "\ud800", "a\nb"])
def test_what_cannot_be_shown_is_told_apart_by_its_digest(value: str) -> None:
    key = key_of("data.customer", event({"customer": value}))
    assert key is not None
    assert key.startswith("blake2b:")
    assert key != key_of("data.customer", event({"customer": value + "!"}))


def test_an_event_without_the_key_is_not_limited_by_it() -> None:
    policy = RunPolicy(concurrency=Concurrency("data.customer"), rate=Rate(1, 1, "data.customer"), pool="p")
    found = limits_of(policy, event({}))
    assert (found.limited, found.key, found.rate_key, found.pool) == (True, None, None, "p")


def test_a_rate_without_a_key_is_that_of_the_pipeline() -> None:
    assert limits_of(RunPolicy(rate=Rate(1, 1)), event()).rate_key == ""


def test_only_policies_that_look_at_other_runs_are_asked_when_accepting() -> None:
    assert limits_of(RunPolicy(concurrency=Concurrency("subject")), event()).concurrency is None
    dropping = Concurrency("subject", policy="drop_new")
    assert limits_of(RunPolicy(concurrency=dropping), event()).concurrency is dropping
    assert limits_of(RunPolicy(), event()) is UNLIMITED


def test_an_emitted_event_names_its_cause() -> None:
    told = {"tidemillrun": "12", "tidemillstage": "train", "tidemilldepth": 3}
    assert cause_of(event(source="tidemill:emitted/flights/train", **told)) == Cause(12, "train", 3)
    assert cause_of(event(source="elsewhere", **told)) is None
    assert cause_of(event(source="tidemill:emitted/flights/train")) is None
    assert cause_of(event(source="tidemill:emitted/flights/train", **{**told, "tidemillrun": "many"})) is None


def test_a_chain_of_causes_is_cut_and_says_where_it_came_from() -> None:
    assert too_deep(Cause(12, "train", DEEPEST)) is None
    reason = too_deep(Cause(12, "train", DEEPEST + 1))
    assert reason is not None
    assert "loop guard" in reason
    assert "run 12" in reason
    assert "train" in reason
