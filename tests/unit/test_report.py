"""The audit record of a run, as data and as a page."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest

from service.report import Around, Report, report
from service.report_page import HEADERS, POLICY, page
from service.story import Story, StoryAction, StoryGate, StoryVote
from tests.unit.stories import AT, artifact, attempt, definition, story

NOW = AT + timedelta(minutes=3)
ERROR = {"type": "builtins.ValueError", "message": "bad rows", "traceback": "Traceback\n  line 3\nValueError: bad rows"}
VOID_ELEMENTS = {"meta"}


def a_run(**more: Any) -> Story:
    tries = [
        attempt("ingest", "rows", metrics={"rows": 27_004.0}, key="key of ingest"),
        attempt("features", transient=True, error=ERROR, started_at=AT + timedelta(seconds=1)),
        attempt("features", "table", attempt=2, started_at=AT + timedelta(seconds=2)),
        attempt("train", "model", state="reused", reused_run=7, started_at=AT + timedelta(seconds=3)),
    ]
    gate = StoryGate(
        name="features-train",
        source="features",
        target="train",
        state="passed",
        reason="looks right",
        evidence={"rows": 3},
        subject=artifact("table").digest,
        decided_by="lou",
        decided_at=AT,
    )
    vote = StoryVote(
        gate="features-train",
        subject=artifact("table").digest,
        by="lou",
        role="leads",
        decision="approved",
        reason="looks right",
        at=AT,
        event="event of the approval",
    )
    settled: dict[str, Any] = {
        "event": {"source": "tests", "id": "1", "type": "t", "time": "2026-03-05T12:00:00Z", "data": {"by": "kim"}},
        "gates": [gate],
        "votes": [vote],
        "actions": [StoryAction(at=AT, action="resumed", by="ann", detail={"from": "features"})],
        "tags": ["nightly"],
        "cause_run": 3,
        "cause_stage": "deploy",
    }
    return story(12, *tries, **settled | more)


AROUND = Around(
    caused=[{"run": 13, "pipeline": "serve", "state": "succeeded", "stage": "train", "waited_for": True}],
    models=[
        {
            "model": "flights",
            "version": 4,
            "state": "production",
            "aliases": ["production"],
            "artifacts": {"model": artifact("model").digest},
            "metrics": {"r2": 0.83},
            "lineage": {},
            "created_at": AT,
        }
    ],
)


def a_report(**more: Any) -> Report:
    return report(a_run(**more), AROUND, NOW)


def test_it_says_who_what_when_and_from_which_event() -> None:
    told = a_report()
    assert (told["run"], told["state"], told["asked_by"], told["tags"]) == (12, "succeeded", "kim", ["nightly"])
    assert told["duration_s"] == 6.0
    assert (told["event"]["id"], told["event"]["cloudevent"]["data"]) == ("1", {"by": "kim"})
    assert (told["cause_run"], told["cause_stage"], told["caused"][0]["run"]) == (3, "deploy", 13)
    assert [(one["action"], one["by"]) for one in told["actions"]] == [("resumed", "ann")]
    assert told["models"][0]["model"] == "flights"


def test_code_and_data_are_told_by_their_digests() -> None:
    told = a_report()
    assert [(one["stage"], one["code_digest"]) for one in told["code"]] == [
        (name, f"code of {name}") for name in ("ingest", "features", "train")
    ]
    features = told["stages"][1]
    assert [one["digest"] for one in features["inputs"]] == [artifact("rows").digest]
    assert features["output"] is not None
    assert features["output"]["digest"] == artifact("table").digest
    assert [one["error"] is not None for one in features["attempts"]] == [True, False]
    assert told["stages"][2]["attempts"][0]["reused_run"] == 7


def test_an_approval_names_who_gave_it_and_for_which_artifact() -> None:
    [approval] = a_report()["approvals"]
    assert (approval["by"], approval["role"], approval["decision"]) == ("lou", "leads", "approved")
    assert approval["event"] == "event of the approval"
    assert approval["subject"] == artifact("table").digest


def test_a_gate_that_was_not_reached_is_pending() -> None:
    told = a_report(gates=[], votes=[])
    assert [(one["gate"], one["state"], one["subject"]) for one in told["gates"]] == [
        ("features-train", "pending", None)
    ]
    assert told["approvals"] == []


class Seen(HTMLParser):
    """What a browser would make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID_ELEMENTS and tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def seen(text: str) -> Seen:
    parser = Seen()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


KNOWN_TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "section", "h1", "h2", "h3", "p", "span", "br"),
    *("dl", "dt", "dd", "div", "table", "thead", "tbody", "tr", "th", "td", "code", "pre", "time"),
}


def hostile(value: Any, poison: str) -> Any:
    """A document whose every text is poisoned; states too."""
    if isinstance(value, dict):
        return {key: hostile(one, poison) for key, one in value.items()}
    if isinstance(value, list):
        return [hostile(one, poison) for one in value]
    return f"{value}{poison}" if isinstance(value, str) else value


@pytest.mark.parametrize(
    "poison",
    ["<script>alert(1)</script>", '" onmouseover="x', "</pre></style><img src=x>", "&#60;b&#62;", "]]>--><!--"],
)
def test_nothing_that_others_wrote_becomes_markup(poison: str) -> None:
    told = hostile(a_report(state="failed", failure={"stage": "train", "reason": "no"}), poison)
    parser = seen(page(told))
    assert set(parser.tags) <= KNOWN_TAGS
    assert parser.attributes <= {"lang", "charset", "http-equiv", "content", "name", "class", "datetime", "data-title"}
    assert parser.tags.count("style") == 1


def test_it_needs_nothing_else_and_may_do_nothing() -> None:
    text = page(a_report())
    assert not re.search(r"https?://|url\(|@import|<script|<link|<img", text)
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY
    assert HEADERS["Content-Security-Policy"].startswith(POLICY)
    seen(text)


def test_the_page_tells_what_the_record_holds() -> None:
    text = page(a_report())
    for part in ("Run 12 of flights", "nightly", "ValueError: bad rows", "from run 7", "lou", "27,004", "flights 4"):
        assert part in text
    assert artifact("rows").digest in text
    assert "It caused no other run." in page(report(a_run(), Around(), NOW))


def test_the_page_tells_all_instants_and_times_alike() -> None:
    text = page({**a_report(), "duration_s": 0.000_06})
    assert "2026-03-05 12:00:00 UTC" in text
    assert "2026-03-05T12:00:00Z</dd>" not in text
    assert "<dd>0 ms</dd>" in text
    late = page({**a_report(), "event": {**a_report()["event"], "occurred_at": "once"}})
    assert "<dd>once</dd>" in late


def test_a_run_of_a_version_that_is_not_stored_has_a_report_all_the_same() -> None:
    told = a_report(definitions={})
    assert [one["code_digest"] for one in told["code"]] == [None] * 3
    assert "not stored" in page(told)
    assert definition()["stages"]
