"""Which events a trigger wants, what it says of the others, and which `where` is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from triggers.base import Binding, Fate, Trigger
from triggers.errors import InvalidTrigger
from triggers.event import Event
from triggers.match import matches, offer, params_of
from triggers.where import ABSENT, check_where, select

EVENT = Event(
    source="/s",
    id="1",
    type="t.created",
    time=datetime(2013, 1, 2, 3, tzinfo=UTC),
    subject="flights",
    extensions={"partitionkey": "7", "sampled": True},
    data={
        "ref": "refs/heads/main",
        "subject": "weather",
        "commits": [{"id": "a"}, {"id": "b"}],
        "draft": False,
        "count": 1,
        "nothing": None,
        "dotted.name": {"x": 1},
        "any": "of these",
    },
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("subject", "flights"),
        ("data.subject", "weather"),
        ("ref", "refs/heads/main"),
        ("data.ref", "refs/heads/main"),
        ("partitionkey", "7"),
        ("time", "2013-01-02T03:00:00Z"),
        ("commits.1.id", "b"),
        ("dotted.name", {"x": 1}),
        ("nothing", None),
        ("commits.2.id", ABSENT),
        ("commits.-1.id", ABSENT),
        ("commits.²", ABSENT),
        ("ref.length", ABSENT),
        ("data.partitionkey", ABSENT),
        ("data.data.ref", ABSENT),
    ],
)
def test_path_leads_to_attribute_then_extension_then_data(path: str, value: Any) -> None:
    assert select(path, EVENT) == value


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"subject": "flights", "ref": "refs/heads/main"},
        {"subject": ["weather", "flights"]},
        {"draft": False, "count": 1, "sampled": True},
        {"nothing": None, "missing": None},
        {"ref": {"prefix": "refs/", "suffix": "/main", "glob": "refs/*/ma?n"}},
        {"ref": {"not": {"prefix": "refs/tags/"}}},
        {"ref": {"any": ["x", {"suffix": "main"}]}},
        {"ref": {"all": [{"prefix": "refs"}, {"suffix": "main"}]}},
        {"ref": [{"suffix": "dev"}, {"suffix": "main"}]},
        {"nothing": {"exists": True}, "missing": {"exists": False}},
        {"missing": {"not": "x"}},
        {"commits": {"exact": [{"id": "a"}, {"id": "b"}]}},
        {"any": [{"subject": "weather"}, {"ref": {"suffix": "main"}}]},
        {"all": [{"subject": "flights"}, {"not": {"ref": "refs/heads/dev"}}]},
        {"data.any": "of these"},
    ],
    ids=repr,
)
def test_event_is_wanted(where: dict[str, Any]) -> None:
    check_where(where, "test")
    assert matches(where, EVENT) is None


@pytest.mark.parametrize(
    ("where", "reason"),
    [
        ({"subject": "weather"}, 'filter: subject is "flights", wanted "weather"'),
        ({"missing": "x"}, 'filter: missing is absent, wanted "x"'),
        ({"draft": 0}, "filter: draft is false, wanted 0"),
        ({"count": True}, "filter: count is 1, wanted true"),
        ({"commits": "a"}, 'filter: commits is a list of 2, wanted "a"'),
        ({"subject": ["a", "b"]}, 'filter: subject is "flights", wanted any of "a", "b"'),
        ({"count": {"prefix": "1"}}, 'filter: count is 1, wanted prefix "1"'),
        ({"ref": {"prefix": "refs/", "not": {"glob": "*main"}}},
         'filter: ref is "refs/heads/main", wanted prefix "refs/" and not glob "*main"'),
        ({"subject": {"exists": False}}, 'filter: subject is "flights", wanted it absent'),
        ({"nothing": {"not": None}}, "filter: nothing is null, wanted not null"),
        ({"any": [{"subject": "a"}, {"count": 2}]},
         'filter: subject is "flights", wanted "a" and count is 1, wanted 2'),
        ({"all": [{"count": 1}, {"count": 2}]}, "filter: count is 1, wanted 2"),
        ({"not": {"subject": "flights"}}, 'filter: subject is "flights", which `not` excludes'),
    ],
    ids=repr,
)  # fmt: skip
def test_event_is_not_wanted_and_the_reason_says_why(where: dict[str, Any], reason: str) -> None:
    check_where(where, "test")
    assert matches(where, EVENT) == reason


def test_reason_clips_what_is_long() -> None:
    event = Event(source="/s", id="1", type="t", time=EVENT.time, data={"text": "x" * 10_000})
    assert len(str(matches({"text": "y"}, event))) < 200


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ({"ref": {"prefx": "a"}}, "'prefx': did you mean 'prefix'"),
        ({"repository": {"full_name": "a/b"}}, "write the path with dots"),
        ({"ref": {}}, "empty mapping"),
        ({"ref": []}, "at least one"),
        ({"ref": {"prefix": 1}}, "needs text"),
        ({"ref": {"exists": "yes"}}, "needs True or False"),
        ({"ref": {"any": "main"}}, "needs a list"),
        ({"ref": {"not": {"glb": "x"}}}, "did you mean 'glob'"),
        ({"ref": object}, "of type type"),
        ({"any": "x"}, "write data.any"),
        ({"all": [{"ref": {"sufix": "x"}}]}, "did you mean 'suffix'"),
        ({"not": ["x"]}, "must be a mapping"),
        ({"a..b": 1}, "dotted path"),
        ({3: 1}, "dotted path"),
    ],
    ids=repr,
)
def test_where_that_means_nothing_is_refused_when_declared(where: dict[Any, Any], told: str) -> None:
    with pytest.raises(InvalidTrigger, match="mine: where") as refused:
        Listening(where=where, name="mine")
    assert told in str(refused.value)


@pytest.mark.parametrize("params", [{"x": 3}, {"x": {"value": 1, "y": 2}}, {"x": "a..b"}, ["x"]], ids=repr)
def test_params_that_are_no_path_are_refused_when_declared(params: Any) -> None:
    with pytest.raises(InvalidTrigger, match="mine: params"):
        Listening(params=params, name="mine")


class Listening(Trigger):
    kind = "listening"


def test_params_are_taken_from_the_event_and_absent_ones_left_out() -> None:
    wanted = {"branch": "data.ref", "trees": {"value": 50}, "none": "nothing", "gone": "data.gone"}
    assert params_of(wanted, EVENT) == {"branch": "refs/heads/main", "trees": 50, "none": None}
    assert params_of({}, EVENT) is None


def test_offer_starts_a_run_ignores_or_is_switched_off() -> None:
    ran = offer(Binding("p", Listening(params={"n": "count"})), EVENT)
    assert (ran.pipeline, ran.trigger, ran.fate, ran.params) == ("p", "listening", Fate.RAN, {"n": 1})
    ignored = offer(Binding("p", Listening(where={"count": 2}, params={"n": "count"})), EVENT)
    assert (ignored.fate, ignored.reason, ignored.params) == (Fate.IGNORED, "filter: count is 1, wanted 2", None)
    off = offer(Binding("p", Listening(enabled=False)), EVENT)
    assert off.fate is Fate.IGNORED
    assert off.reason.startswith("disabled")


@pytest.mark.parametrize(
    ("wanted", "value", "holds"),
    [
        ({"at_least": 1}, 1, True),
        ({"at_least": 1, "less_than": 10}, 9.5, True),
        ({"at_least": 1, "less_than": 10}, 10, False),
        ({"more_than": 1}, 1, False),
        ({"at_most": -0.5}, -1, True),
        ({"at_least": 1}, True, False),
        ({"at_least": 1}, "5", False),
        ({"at_least": 1}, None, False),
        ({"at_least": "2026-01-31T00:00:00Z"}, "2026-01-31T01:00:00+01:00", True),
        ({"less_than": "2026-01-31T00:00:00Z"}, "2026-01-30T23:59:59Z", True),
        ({"less_than": "2026-01-31T00:00:00Z"}, "2026-01-30T23:59:59", False),
        ({"less_than": "2026-01-31T00:00:00Z"}, 5, False),
        ({"not": {"at_least": 1}}, "text", True),
        ({"any": [{"less_than": 0}, {"more_than": 5}, "x"]}, "x", True),
        ({"all": [{"more_than": 0}, {"not": {"any": [2, 3]}}]}, 3, False),
        ({"all": [{"more_than": 0}, {"not": {"any": [2, 3]}}]}, 4, True),
        ({"exact": {"a": [1, {"b": True}]}}, {"a": [1, {"b": True}]}, True),
        ({"exact": {"a": [1, {"b": True}]}}, {"a": [1, {"b": 1}]}, False),
        ({"exact": {"a": None}}, {}, False),
        ({"exact": [1, 2]}, [1], False),
    ],
)
def test_a_value_is_compared(wanted: Any, value: Any, holds: bool) -> None:
    check_where({"data.x": wanted}, "t")
    event = Event(source="/s", id="1", type="t", time=datetime(2013, 1, 2, tzinfo=UTC), data={"x": value})
    assert (matches({"data.x": wanted}, event) is None) is holds


def test_a_time_of_the_event_is_compared_as_a_time() -> None:
    assert matches({"time": {"at_least": "2013-01-02T04:00:00+01:00"}}, EVENT) is None
    told = matches({"time": {"less_than": "2013-01-02T03:00:00Z"}}, EVENT)
    assert told == 'filter: time is "2013-01-02T03:00:00Z", wanted less than 2013-01-02T03:00:00Z'


@pytest.mark.parametrize("operand", ["5", True, None, [1], "2026-01-31", "2026-01-31T00:00:00"])
def test_a_comparison_with_nothing_comparable_is_refused(operand: Any) -> None:
    with pytest.raises(InvalidTrigger, match=r"at_least: needs a number, or a time"):
        check_where({"data.x": {"at_least": operand}}, "t")


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ({"not": {"data.draft": False, "subject": "other"}}, True),
        ({"not": {"data.draft": False, "subject": "flights"}}, False),
        ({"not": {"any": [{"subject": "a"}, {"subject": "flights", "data.count": 1}]}}, False),
        ({"not": {"any": [{"subject": "a"}, {"subject": "flights", "data.count": 2}]}}, True),
        (
            {"any": [{"all": [{"subject": "x"}, {"not": {"data.count": 1}}]}, {"data.count": {"at_most": 1}}]},
            True,
        ),
        ({"all": [{"subject": "flights"}, {"any": [{"data.count": 2}, {"not": {"data.nothing": None}}]}]}, False),
    ],
)
def test_wheres_nest_over_several_keys(where: Any, holds: bool) -> None:
    check_where(where, "t")
    assert (matches(where, EVENT) is None) is holds
