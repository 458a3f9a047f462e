"""Starts by hand and decisions at gates, as events."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from triggers.approval import Approval, approval_event
from triggers.base import Binding, Fate
from triggers.errors import InvalidTrigger
from triggers.event import Event
from triggers.manual import Manual, manual_event, manual_offer
from triggers.match import matches

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def started(event_id: str | None = "k", pipeline: str = "flights") -> Event:
    return manual_event(pipeline, {"month": 3}, {"path": "x"}, event_id, "ann", NOW)


def decided(**changed: Any) -> Event:
    given: dict[str, Any] = {
        "pipeline": "flights", "run_id": 7, "gate": "deploy", "decision": "approved", "by": "ann", "reason": "good",
        "now": NOW, "subjects": {"model": "d1"},
    }  # fmt: skip
    return approval_event(**{**given, **changed})


def test_start_by_hand_is_one_event_under_one_key_and_pipeline() -> None:
    assert started().key == started().key
    assert started().key != started(pipeline="weather").key
    assert started(None).key != started(None).key
    assert started(pipeline="a/b c").source == "tidemill:manual/a%2Fb%20c"


def test_start_by_hand_carries_who_and_with_which_params() -> None:
    assert started().data == {"params": {"month": 3}, "data": {"path": "x"}, "by": "ann"}
    made = manual_offer(Binding("flights", Manual(params={"path": "data.data.path", "month": {"value": 1}})), started())
    assert (made.fate, made.params) == (Fate.RAN, {"path": "x", "month": 3})
    assert manual_offer(Binding("flights", Manual(enabled=False)), started()).fate is Fate.IGNORED


def test_decision_is_one_event_and_another_for_other_artifacts() -> None:
    assert decided().key == decided(by="bob", reason="again").key
    others = [
        decided(run_id=8),
        decided(gate="register"),
        decided(decision="rejected"),
        decided(subjects={"model": "d2"}),
    ]
    assert len({decided().key, *(event.key for event in others)}) == 5
    assert decided(subjects={}).id == "7/deploy/approved"
    assert decided(subjects={"a": "1", "b": "2"}).key == decided(subjects={"b": "2", "a": "1"}).key


@pytest.mark.parametrize(
    ("trigger", "wanted"),
    [
        (Approval(), True),
        (Approval("flights", "deploy"), True),
        (Approval("weather"), False),
        (Approval(gate="register"), False),
        (Approval(decision="rejected"), False),
        (Approval(decision=None), True),
        (Approval("flights", where={"data.by": "bob"}), False),
    ],
)
def test_approval_listens_to_its_pipeline_gate_and_decision(trigger: Approval, wanted: bool) -> None:
    assert (matches(trigger.where, decided()) is None) is wanted
    assert replace(trigger, enabled=False).where == trigger.where


def test_unknown_decision_is_refused_when_declared() -> None:
    with pytest.raises(InvalidTrigger, match="'approve'"):
        Approval(decision="approve")  # type: ignore[arg-type]
