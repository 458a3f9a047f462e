"""What a person is told of a failed run, and which commands apply to it."""

from __future__ import annotations

from typing import Any

import pytest

from service.reviews import commands, may_skip, review
from service.story import Story, StoryGate
from tests.unit.stories import AT, artifact, attempt, definition, story

ERROR = {"type": "builtins.ValueError", "message": "bad", "traceback": "Traceback\n" + "\n".join(map(str, range(30)))}


def failed(**more: Any) -> Story:
    tries = [
        attempt("ingest", "rows"),
        attempt("features", "table"),
        attempt("train", transient=True, error={**ERROR, "message": "first"}),
        attempt("train", attempt=2, transient=False, error=ERROR),
    ]
    settled: dict[str, Any] = {"state": "failed", "failure": {"stage": "train", "reason": "a permanent failure"}}
    return story(12, *tries, **settled | more)


def lines(run: Story, loaded: str | None = None) -> list[str]:
    return [line for line, _ in commands(run, loaded)]


def test_it_says_what_failed_with_which_error_on_which_data() -> None:
    told = review(failed(), None)
    assert (told["kind"], told["name"], told["attempts"], told["transient"]) == ("stage", "train", 2, False)
    assert told["reason"] == "a permanent failure"
    assert told["error"] is not None
    assert told["error"]["message"] == "bad"
    assert told["error"]["traceback"].splitlines() == [str(number) for number in range(22, 30)]
    assert [(one["stage"], one["digest"]) for one in told["inputs"]] == [("features", artifact("table").digest)]


def test_the_commands_of_a_lasting_failure() -> None:
    assert lines(failed()) == [
        "tidemill resume 12",
        "tidemill resume 12 --from features",
        "tidemill resume 12 --with-param NAME=VALUE",
        "tidemill skip 12 train --reason WHY",
        "tidemill abandon 12 --reason WHY",
    ]
    assert dict(commands(failed(), None))["tidemill resume 12 --with-param NAME=VALUE"].endswith("month, trees")


def test_other_parameters_are_offered_only_where_they_may_help() -> None:
    passing = story(
        12,
        attempt("train", transient=True, error=ERROR),
        state="failed",
        failure={"stage": "train", "reason": "failed 3 times, its policy allows no more"},
    )
    assert not any("--with-param" in line for line in lines(passing))
    deaf = {"v1": definition(ingest={"takes_params": False}, train={"takes_params": False})}
    assert not any("--with-param" in line for line in lines(failed(definitions=deaf)))
    above = {"v1": definition(train={"takes_params": False})}
    assert any("--with-param" in line for line in lines(failed(definitions=above)))


def test_a_stage_may_be_skipped_only_where_all_that_take_it_can_do_without() -> None:
    assert not may_skip(definition(), "ingest")
    assert may_skip(definition(features={"optional": ["ingest"]}), "ingest")
    assert may_skip(definition(), "train")
    assert not may_skip(definition(), "nothing")
    assert not may_skip({}, "ingest")
    both = definition(features={"optional": ["ingest"]}, train={"inputs": ["features", "ingest"]})
    assert not may_skip(both, "ingest")


def test_where_other_code_is_loaded_a_run_goes_on_with_that() -> None:
    """Resuming it as it was is refused."""
    assert lines(failed(), "v2")[:3] == [
        "tidemill resume 12 --on latest",
        "tidemill resume 12 --on latest --from features",
        "tidemill resume 12 --on latest --with-param NAME=VALUE",
    ]
    assert "tidemill skip 12 train --on latest --reason WHY" in lines(failed(), "v2")
    assert lines(failed(), "v1") == lines(failed())


@pytest.mark.parametrize("name", ["", "gone"])
def test_a_run_that_failed_as_a_whole_can_be_resumed_or_abandoned(name: str) -> None:
    run = failed(failure={"stage": name, "reason": "adopted 5 times without finishing a stage"})
    assert lines(run) == ["tidemill resume 12", "tidemill abandon 12 --reason WHY"]
    assert review(run, None)["kind"] == "run"


def test_a_failed_gate_shows_its_evidence_and_what_it_was_asked_about() -> None:
    gate = StoryGate(
        name="features-train",
        source="features",
        target="train",
        state="failed",
        reason="too few rows",
        evidence={"rows": 3},
        subject="s",
        decided_by="row_count",
        decided_at=AT,
    )
    failure = {"stage": "features-train", "reason": "gate features-train: too few rows"}
    run = failed(attempts=failed().attempts[:2], gates=[gate], failure=failure)
    told = review(run, None)
    assert (told["kind"], told["evidence"], told["error"], told["attempts"]) == ("gate", {"rows": 3}, None, 1)
    assert [one["stage"] for one in told["inputs"]] == ["features"]
    assert lines(run)[:2] == ["tidemill resume 12", "tidemill resume 12 --from features"]
    assert "tidemill skip 12 train --reason WHY" in lines(run)
