"""Two runs side by side."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from service.diff import StageDifference, diff
from service.story import Story, StoryGate
from tests.unit.stories import AT, attempt, definition, story, whole


def stage_of(a: Story, b: Story, name: str) -> StageDifference:
    return next(one for one in diff(a, b)["stages"] if one["stage"] == name)


def gate(state: str, **evidence: Any) -> StoryGate:
    return StoryGate(
        name="features-train",
        source="features",
        target="train",
        state=state,
        reason="" if state == "passed" else "too few rows",
        evidence=evidence,
        subject="s",
        decided_by="row_count",
        decided_at=AT,
    )


def test_equal_runs_differ_in_nothing_but_their_events() -> None:
    found = diff(whole(1), whole(2))
    assert (found["params"], found["code"], found["gates"]) == ([], [], [])
    assert [one["name"] for one in found["event"]] == ["id"]
    assert all(one["same_output"] for one in found["stages"])
    assert all(one["inputs"] == [] for one in found["stages"])


def test_params_and_events_are_told_by_name_with_both_values() -> None:
    event = {"source": "tests", "id": "2", "data": {"params": {"month": 7}, "by": "kim"}}
    found = diff(whole(1), whole(2, params={"month": 7}, event=event))
    assert found["params"] == [{"name": "month", "a": 6, "b": 7}, {"name": "trees", "a": 50, "b": None}]
    assert {"name": "data.params.month", "a": None, "b": 7} in found["event"]


def test_metrics_have_their_change_and_what_one_lacks_is_null() -> None:
    a = story(1, attempt("train", "m", metrics={"r2": 0.5, "rows": 3.0}))
    b = story(2, attempt("train", "n", metrics={"r2": 0.75, "mae": 1.0}))
    assert stage_of(a, b, "train")["metrics"] == [
        {"name": "mae", "a": None, "b": 1.0, "change": None},
        {"name": "r2", "a": 0.5, "b": 0.75, "change": 0.25},
        {"name": "rows", "a": 3.0, "b": None, "change": None},
    ]


def test_code_and_environment_are_compared_by_the_versions_that_were_run() -> None:
    definitions = {"v2": definition(train={"code_digest": "new"}, features={"environment_digest": "lock"})}
    tries = [attempt(name, name, version="v2") for name in ("ingest", "features", "train")]
    found = diff(whole(1), story(2, *tries, version="v2", definitions=definitions))
    assert found["code"] == ["features", "train"]
    assert [(one["code"], one["environment"]) for one in found["stages"]] == [
        (True, True),
        (True, False),
        (False, True),
    ]
    assert stage_of(whole(1), whole(2, definitions={}), "train")["code"] is None


def test_inputs_outputs_and_timings_are_compared() -> None:
    slower = attempt("train", "other", finished_at=AT + timedelta(seconds=5))
    b = story(2, attempt("ingest", "ingest"), attempt("features", "features!"), slower)
    found = stage_of(whole(1), b, "train")
    assert [one["name"] for one in found["inputs"]] == ["features"]
    assert found["same_output"] is False
    assert found["output"]["a"] != found["output"]["b"]
    assert (found["duration_s"]["a"], found["duration_s"]["b"], found["duration_s"]["change"]) == (2.0, 5.0, 3.0)


def test_a_stage_that_one_run_did_not_reach_is_pending_there() -> None:
    b = story(2, attempt("ingest", "ingest", state="reused", reused_run=1))
    found = stage_of(whole(1), b, "train")
    assert (found["state"]["a"], found["state"]["b"], found["same_output"]) == ("succeeded", "pending", None)
    assert stage_of(whole(1), b, "ingest")["result"] == {"name": "result", "a": "computed", "b": "reused from run 1"}


def test_gates_are_compared_with_their_evidence() -> None:
    [found] = diff(
        whole(1, gates=[gate("passed", rows=10, least=5)]), whole(2, gates=[gate("failed", rows=3, least=5)])
    )["gates"]
    assert not found["same"]
    assert found["evidence"] == [{"name": "rows", "a": 10, "b": 3}]
    assert (found["state"]["a"], found["state"]["b"], found["reason"]["b"]) == ("passed", "failed", "too few rows")
    [only] = diff(whole(1), whole(2, gates=[gate("passed")]))["gates"]
    assert (only["state"]["a"], only["decided_by"]["a"]) == ("pending", None)


def test_runs_of_two_pipelines_are_compared_where_they_meet() -> None:
    other = story(2, attempt("ingest", "x"), attempt("own", "y"), pipeline="other", definitions={})
    names = [one["stage"] for one in diff(whole(1), other)["stages"]]
    assert names == ["ingest", "own", "features", "train"]
