"""How explanations, differences, reviews and clean-ups look in a terminal and in a pipe."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from service.cli.views.cleaning import print_clean_up
from service.cli.views.comparing import print_diff, print_explanation
from service.cli.views.reviews import print_reviews
from service.diff import diff
from service.explain import explain
from service.retention import Policy, nothing
from service.reviews import review
from tests.unit.stories import attempt, story, whole
from tests.unit.test_cli_views import NOW, Show, _colours_are_asked_for, show
from tests.unit.test_diff import gate
from tests.unit.test_reviews import failed

__all__ = ["_colours_are_asked_for", "show"]


def over_the_wire(value: Any) -> Any:
    """As a client gets it."""
    return orjson.loads(orjson.dumps(value))


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_an_explanation_is_a_line_a_stage(show: Show) -> None:
    found = over_the_wire(explain(whole(2, "!", params={"month": 7, "trees": 50}), whole(1)))
    told = show(0, print_explanation, found)
    assert told.startswith("run 2 of flights v1, compared with run 1\n")
    assert "parameter month changed from 6 to 7" in told.splitlines()[2]
    assert "compared" not in show(0, print_explanation, over_the_wire(explain(whole(1), None)))


def test_a_difference_has_both_values_and_the_change(show: Show) -> None:
    a = story(1, attempt("ingest", "i"), attempt("train", "m", metrics={"r2": 0.5}), gates=[gate("passed", rows=9)])
    b = story(2, attempt("ingest", "i"), attempt("train", "n", metrics={"r2": 0.75}), gates=[gate("failed", rows=3)])
    told = show(0, print_diff, over_the_wire(diff(a, b)))
    assert ["WHAT", "RUN", "1", "RUN", "2", "CHANGE"] in lines(told)
    assert ["train", "r2", "0.5", "0.75", "+0.25", "(+50.0%)"] in lines(told)
    assert ["gate", "features-train", "passed", "failed"] in lines(told)
    assert ["gate", "features-train", "rows", "9", "3"] in lines(told)
    assert told.splitlines()[-1] == "the same output on both sides: ingest"
    assert "params" not in told


def test_a_review_says_what_failed_and_the_commands(show: Show) -> None:
    page = over_the_wire({"reviews": [review(failed(), "v2")], "open": 1, "next": None})
    told = show(0, print_reviews, page, NOW)
    assert told.startswith("run 12 of flights failed in stage train")
    assert "a permanent failure, after 2 attempts" in told
    assert "ValueError: bad" in told
    assert ["tidemill", "resume", "12", "--on", "latest"] in [line[:5] for line in lines(told)]
    assert show(0, print_reviews, {"reviews": []}, NOW) == "no failed run waits for a person\n"


def test_a_clean_up_says_what_goes_and_how_to_do_it(show: Show) -> None:
    done: Any = nothing(Policy(days=30), dry_run=True)
    done["pipelines"] = [
        {"pipeline": "flights", "runs": 1200, "attempts": 6, "log_lines": 7, "artifacts": 8, "size_bytes": 9_000}
    ]
    done["set_aside"] = {"artifacts": 3, "size_bytes": 5}
    done["in_review"] = 2
    told = show(0, print_clean_up, done)
    assert ["flights", "1,200", "6", "7", "8", "9", "kB"] in lines(told)
    assert "3 artifacts (5 B) would be set aside" in told
    assert "2 failed runs stay" in told
    assert told.splitlines()[-1] == "nothing was changed: --yes removes it"
    assert "set retention.days" in show(0, print_clean_up, nothing(Policy(), dry_run=True))
    assert show(0, print_clean_up, nothing(Policy(days=1), dry_run=False)) == "no run goes\n"


@pytest.mark.parametrize("hostile", ["\x1b]0;owned\x07", "line\nbreak", "‮gnp.exe"])
def test_what_others_wrote_cannot_steer_the_terminal(show: Show, hostile: str) -> None:
    bad = failed(params={"x": hostile}, failure={"stage": "train", "reason": hostile})
    told = show(0, print_reviews, over_the_wire({"reviews": [review(bad, None)], "open": 1, "next": None}), NOW)
    other = whole(2, params={hostile: hostile})
    told += show(0, print_diff, over_the_wire(diff(whole(1), other)))
    told += show(0, print_explanation, over_the_wire(explain(other, whole(1))))
    assert all(char.isprintable() or char == "\n" for char in told)
    assert "line\nbreak" not in told


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(show: Show, columns: int) -> None:
    from rich.text import Text

    told = show(columns, print_diff, over_the_wire(diff(whole(1), whole(2, "x", params={"month": 9}))))
    told += show(columns, print_reviews, over_the_wire({"reviews": [review(failed(), None)], "next": None}), NOW)
    told += show(columns, print_explanation, over_the_wire(explain(whole(2, "x", params={}), whole(1))))
    shown = [Text.from_ansi(line).plain.rstrip() for line in told.splitlines()]
    assert max(len(line) for line in shown) <= columns
