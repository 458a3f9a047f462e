"""What people did to a run, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from service.words.deeds import deeds, in_words, plainly

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
TOLD: list[tuple[str, dict[str, Any], tuple[str, str]]] = [
    ("cancelled", {}, ("cancelled it", "")),
    ("abandoned", {"reason": "a test"}, ("gave it up", "a test")),
    ("resumed", {}, ("resumed it", "")),
    (
        "resumed",
        {"from_stage": "train", "again": ["train", "evaluate"]},
        ("resumed it from train; train, evaluate again", ""),
    ),
    ("resumed", {"with": 7}, ("resumed it; run 7, which waits for it, was resumed", "")),
    (
        "amended",
        {"params": {"months": {"from": 3, "to": 6}, "full": {"from": None, "to": True}}},
        ("resumed it; months 3 → 6; full nothing → yes", ""),
    ),
    (
        "resumed",
        {"version": {"from": "a" * 64, "to": "b" * 64}, "gates_anew": ["n"], "items_again": {"fit": 3}},
        (
            "resumed it; on version bbbbbbbbbb instead of aaaaaaaaaa; 3 of the items of fit again; gate n checked anew",
            "",
        ),
    ),
    ("skipped", {"stage": "report", "reason": "no mail"}, ("skipped stage report", "no mail")),
    (
        "linked",
        {"gate": "deploys", "for": "kim", "decision": "approved", "expires_at": "2026-11-02"},
        ("made a link by which kim may approve gate deploys", ""),
    ),
    ("polished", {"reason": "why not"}, ("polished", "why not")),
]


@pytest.mark.parametrize(("action", "detail", "told"), TOLD)
def test_an_action_is_told_in_words(action: str, detail: dict[str, Any], told: tuple[str, str]) -> None:
    assert in_words(action, detail) == told


def finding(
    hour: int, state: str, reason: str, *votes: tuple[str, str], subject: str = "s", **more: Any
) -> dict[str, Any]:
    """What is kept of a gate once somebody voted."""
    told = [{"by": by, "decision": decision, "role": "leads"} for by, decision in votes]
    evidence = ({"votes": told} if told else {}) | more
    at = AT + timedelta(hours=hour)
    return {"state": state, "reason": reason, "subject": subject, "evidence": evidence, "decided_at": at}


def gate(*history: dict[str, Any], votes: tuple[tuple[int, str, str, str], ...] = ()) -> dict[str, Any]:
    """A gate that is asked about `s` now."""
    said = [
        {"by": by, "decision": decision, "reason": reason, "at": AT + timedelta(hours=hour, seconds=-1)}
        for hour, by, decision, reason in votes
    ]
    return {"name": "ships", "subject": "s", "history": list(history), "votes": said}


def said(*gates: dict[str, Any], actions: tuple[dict[str, Any], ...] = ()) -> list[tuple[str, str, str]]:
    """What is told of them."""
    return [(one.by, one.told, one.reason) for one in deeds({"actions": actions, "gates": gates})]


def test_a_rejection_is_told_also_once_the_run_was_resumed() -> None:
    history = [
        finding(0, "waiting", "asked"),
        finding(1, "failed", "too early", ("kim", "rejected"), decision="rejected"),
        finding(3, "waiting", "asked"),
        finding(4, "passed", "now", ("lee", "approved"), decision="approved"),
    ]
    resumed = {"at": AT + timedelta(hours=2), "action": "resumed", "by": "ann", "detail": {}}
    assert said(gate(*history, votes=((4, "lee", "approved", "now"),)), actions=(resumed,)) == [
        ("kim", "rejected gate ships as leads", "too early"),
        ("ann", "resumed it", ""),
        ("lee", "approved gate ships as leads", "now"),
    ]


def test_a_vote_has_its_own_reason_and_no_other() -> None:
    both = (("kim", "approved"), ("lee", "approved"))
    history = [
        finding(1, "waiting", "1 of 2 approved: kim", ("kim", "approved"), subject="old"),
        finding(2, "waiting", "1 of 2 approved: kim", ("kim", "approved")),
        finding(3, "passed", "approved by kim, lee", *both, decision="approved"),
        finding(5, "failed", "rejected by kim", ("kim", "rejected"), decision="rejected"),
    ]
    votes = ((2, "kim", "approved", "looks good"), (3, "lee", "approved", ""))
    assert [reason for _, _, reason in said(gate(*history, votes=votes))] == ["", "looks good", "", ""]


def test_what_a_gate_asks_and_how_its_time_ended_is_no_vote() -> None:
    voted = (("kim", "approved"),)
    history = [
        finding(0, "waiting", "asked"),
        finding(1, "waiting", "1 of 2 approved: kim", *voted),
        finding(2, "failed", "only 1 of 2 approved in time", *voted),
    ]
    assert len(said(gate(*history))) == 1


def test_values_are_written_as_people_write_them() -> None:
    assert plainly(["viewer", "operator"]) == "viewer, operator"
    assert (plainly(True), plainly(False), plainly(None), plainly(1.5)) == ("yes", "no", "nothing", "1.5")
    assert plainly({"a": True}) == '{"a": true}'
