"""Why a stage was computed: which part of its key changed, told in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.explain import KeyParts, changes, explain, key_parts
from service.story import StoryAction
from tests.unit.stories import AT, STAGES, attempt, definition, story, whole

PARTS = KeyParts(code="aa", environment="bb", inputs={"x": "json@cc"}, params={"month": 6}, event=None)


def told(run: Any, since: Any, stage: str) -> str:
    return next(one["told"] for one in explain(run, since)["stages"] if one["stage"] == stage)


def test_equal_parts_are_no_change() -> None:
    assert changes(PARTS, replace(PARTS)) == []


@pytest.mark.parametrize(
    ("after", "components", "says"),
    [
        ({"code": "ab"}, ["code"], "its code changed (aa -> ab)"),
        ({"environment": None}, ["environment"], "its environment changed (bb -> none)"),
        ({"inputs": {"x": "json@dd"}}, ["input"], "its input x is another (cc -> dd)"),
        ({"inputs": {"x": "json@cc", "y": "json@ee"}}, ["input"], "it takes y now"),
        ({"inputs": {}}, ["input"], "it takes x no longer"),
        ({"params": {"month": 7}}, ["params"], "parameter month changed from 6 to 7"),
        ({"params": None}, ["params"], "it takes no parameters any more"),
        ({"event": "e"}, ["event"], "it takes the event, and that is another"),
        ({"code": "ab", "params": {"month": 7}}, ["code", "params"], "its code changed (aa -> ab)"),
    ],
)
def test_each_part_that_changes_is_told(after: dict[str, Any], components: list[str], says: str) -> None:
    found = changes(PARTS, replace(PARTS, **after))
    assert [one["component"] for one in found] == components
    assert found[0]["told"] == says


def test_params_and_event_count_only_where_a_stage_takes_them() -> None:
    [_, features, train] = definition()["stages"]
    given: dict[str, Any] = {"inputs": {"ingest": "i", "features": "f"}, "params": {"month": 6}, "event": "e"}
    assert key_parts(features, **given) == KeyParts(code="code of features", inputs={"ingest": "i"})
    assert key_parts(train, **given).params == {"month": 6}
    assert key_parts({**features, "takes_event": True}, **given).event == "e"


def test_a_definition_that_does_not_say_what_it_takes_is_taken_to_take_the_params() -> None:
    old = {"code_digest": "c", "inputs": []}
    assert key_parts(old, inputs={}, params={"month": 6}, event="e") == KeyParts(
        code="c", inputs={}, params={"month": 6}
    )


def test_a_first_run_has_nothing_to_be_compared_with() -> None:
    answer = explain(whole(1), None)
    assert answer["since"] is None
    assert {one["told"] for one in answer["stages"]} == {"computed: no earlier run to compare with"}


def test_a_changed_parameter_is_followed_down_to_the_stage_it_made_run_again() -> None:
    now = whole(2, "!", params={"month": 7, "trees": 50})
    assert told(now, whole(1), "ingest") == "computed, since parameter month changed from 6 to 7"
    assert "since in ingest parameter month changed from 6 to 7" in told(now, whole(1), "features")
    assert told(now, whole(1), "train").startswith("computed, since parameter month changed")


def test_changed_code_is_found_in_the_version_each_attempt_was_made_with() -> None:
    definitions = {"v1": definition(), "v2": definition(features={"code_digest": "new code"})}
    tries = [attempt("ingest", "ingest"), *(attempt(name, name + "2", version="v2") for name in ("features", "train"))]
    now = story(2, *tries, version="v2", definitions=definitions)
    assert told(now, whole(1), "ingest").startswith("computed, though nothing changed since run 1")
    assert told(now, whole(1), "features") == "computed, since its code changed (code of fe -> new code)"
    assert "since in features its code changed" in told(now, whole(1), "train")


def test_an_input_that_changed_by_itself_is_called_so() -> None:
    now = story(2, attempt("ingest", "other rows"), attempt("features", "f"), definitions=whole(1).definitions)
    assert told(now, whole(1), "features").endswith("though nothing ingest is made of changed")


def test_a_result_used_again_names_the_run_it_is_from_and_what_is_new_since_the_last() -> None:
    reused = attempt("ingest", "ingest", state="reused", reused_run=1)
    now = story(3, reused, params={"month": 6, "trees": 50})
    since = story(2, attempt("ingest", "else"), params={"month": 7, "trees": 50})
    assert (
        told(now, since, "ingest")
        == "reused from run 1, whose key was the same; since run 2: parameter month changed from 7 to 6"
    )


@pytest.mark.parametrize(
    ("settings", "now", "why"),
    [
        ({"reuse": "never"}, {}, 'it says reuse="never"'),
        ({"reuse": "run"}, {}, 'its results count for their own run alone (reuse="run")'),
        ({"expires_s": 60.0}, {"started_at": AT + timedelta(hours=1)}, "that result was older than expires_s=60"),
        ({}, {"started_at": AT - timedelta(hours=1)}, "run 1 had not finished it yet"),
        ({}, {"started_at": AT + timedelta(hours=1)}, "that result could not be read from the artifact store"),
        ({"map": "src"}, {"started_at": AT + timedelta(hours=1)}, "its items' results is put together in every run"),
        ({"takes_event": True}, {}, "it takes the event, and that is another"),
    ],
)
def test_a_stage_computed_again_with_the_same_key_says_why(
    settings: dict[str, Any], now: dict[str, Any], why: str
) -> None:
    definitions = {"v1": definition(ingest=settings)}
    before, after = attempt("ingest", "same"), attempt("ingest", "same", **now)
    assert why in told(story(2, after, definitions=definitions), story(1, before, definitions=definitions), "ingest")


def test_a_result_that_a_person_asked_to_be_made_anew_says_so() -> None:
    forced = attempt("ingest", "ingest", void="forced")
    now = story(2, forced, attempt("ingest", "ingest", attempt=2))
    assert told(now, whole(1), "ingest").endswith("a person asked for it")


def test_the_keys_on_record_decide_over_what_is_pieced_together() -> None:
    same = attempt("ingest", "a", key="k")
    assert explain(story(2, same, params={"month": 7}), story(1, same))["stages"][0]["changes"] == []
    other = attempt("ingest", "a", key="l")
    [change] = explain(story(2, other), story(1, same))["stages"][0]["changes"]
    assert change["component"] == "key"


def test_parameters_amended_since_do_not_count_for_what_was_made_before() -> None:
    amended = StoryAction(
        at=AT + timedelta(minutes=1),
        action="amended",
        by="kim",
        detail={"params": {"trees": {"from": 50, "to": 99}}},
    )
    now = story(
        2,
        attempt("ingest", "ingest"),
        attempt("features", "features"),
        attempt("train", "t2", started_at=AT + timedelta(minutes=2)),
        params={"month": 6, "trees": 99},
        actions=[amended],
    )
    assert told(now, whole(1), "ingest").startswith("computed, though nothing changed")
    assert told(now, whole(1), "train") == "computed, since parameter trees changed from 50 to 99"


def test_stages_without_a_result_say_where_they_stand() -> None:
    skipped = attempt("features", state="skipped", reason="when= said no")
    now = story(2, attempt("ingest"), skipped)
    assert told(now, whole(1), "features") == "skipped: when= said no"
    assert told(now, whole(1), "train") == "not reached yet"
    assert told(now, whole(1), "ingest").startswith("failed, though nothing changed since run 1")
    assert told(whole(2), story(1, attempt("ingest")), "ingest") == (
        "computed for the first time: run 1 has no result of it (failed)"
    )
    assert told(whole(2), story(1), "train") == "computed for the first time: run 1 did not reach it"


def test_a_version_that_is_not_stored_is_said_to_be_unknown() -> None:
    now = story(2, attempt("ingest", "ingest"), definitions={})
    assert "are not stored" in told(now, whole(1), "ingest")
    assert list(STAGES) == [one["stage"] for one in explain(whole(2), whole(1))["stages"]]
