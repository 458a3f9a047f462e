"""What a run does next, told from data alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.machine import AHEAD_S, POISON_LIMIT, Check, Close, Park, Start, decide, due_in_s
from service.model import AttemptState, Checked, GateState, RunState, RunView, Tried
from service.words.endings import failed_in, failed_why
from stages.artifacts import ArtifactRef
from stages.base import stage
from stages.pipeline import Pipeline
from stages.retry import Retry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OUTPUT = ArtifactRef("a" * 64, "json", 1, b"1")
OTHER = ArtifactRef("b" * 64, "json", 1, b"2")


@stage(retry=Retry(max_attempts=2))
def first() -> int:
    return 1


@stage
def left(first: int) -> int:
    return first


@stage
def right(first: int) -> int:
    return first


@stage
def last(left: int, right: int) -> int:
    return left + right


def gate(output: int) -> bool:
    return output > 0


PLAN = Pipeline("diamond", [first, left, right, last], gates={("first", "left"): gate}).plan


def view(**tried: Tried) -> RunView:
    run = RunView()
    for name, one in tried.items():
        run.record(name, one)
    return run


def done(output: ArtifactRef = OUTPUT) -> Tried:
    return Tried(1, AttemptState.SUCCEEDED, output=output)


def failed(attempt: int = 1, *, transient: bool, retry_at: datetime | None = None) -> Tried:
    return Tried(attempt, AttemptState.FAILED, transient, retry_at=retry_at)


def passed(run: RunView, state: GateState = GateState.PASSED) -> RunView:
    run.gates["first-left"] = Checked(state, OUTPUT.digest, "because")
    return run


def test_a_new_run_starts_the_stages_that_need_nothing() -> None:
    assert decide(PLAN, view(), NOW) == [Start("first", 1)]


def test_nothing_is_decided_twice_while_it_is_being_done() -> None:
    run = view(first=Tried(1, AttemptState.RUNNING))
    assert decide(PLAN, run, NOW) == []


def test_a_gate_is_checked_before_the_stage_behind_it_starts_and_does_not_hold_others() -> None:
    assert decide(PLAN, view(first=done()), NOW) == [Check("first-left"), Start("right", 1)]
    assert decide(PLAN, passed(view(first=done())), NOW) == [Start("left", 1), Start("right", 1)]


def test_a_gate_that_is_being_checked_is_not_checked_again() -> None:
    run = view(first=done(), right=done())
    run.checking.add("first-left")
    assert decide(PLAN, run, NOW) == []


def test_a_gate_decided_for_another_artifact_does_not_count() -> None:
    assert Check("first-left") in decide(PLAN, passed(view(first=done(OTHER))), NOW)


def test_a_waiting_gate_parks_the_run_without_a_due_time() -> None:
    run = passed(view(first=done(), right=done()), GateState.WAITING)
    assert decide(PLAN, run, NOW) == (Park(None),)


def test_a_failed_gate_ends_the_run_once_nothing_is_under_way() -> None:
    run = passed(view(first=done(), right=Tried(1, AttemptState.RUNNING)), GateState.FAILED)
    assert decide(PLAN, run, NOW) == ()
    run.record("right", done())
    assert decide(PLAN, run, NOW) == (Close(RunState.FAILED, "first-left", "gate first-left: because"),)


@pytest.mark.parametrize("reason", ["worse for small carriers", ""])
def test_a_run_that_a_person_rejected_tells_who_and_why(reason: str) -> None:
    run = passed(view(first=done(), right=done()), GateState.FAILED)
    run.gates["first-left"] = replace(run.gates["first-left"], reason=reason or "rejected by kim", rejected_by="kim")
    told = "gate first-left: rejected by kim" + (f": {reason}" if reason else "")
    assert decide(PLAN, run, NOW) == (Close(RunState.FAILED, "first-left", told),)
    failure = {"stage": "first-left", "reason": told}
    assert (failed_why(failure), failed_in(failure)) == (told, "")
    assert failed_why({"stage": "a", "reason": "a permanent failure"}, "KeyError: b") == "a: KeyError: b"
    assert failed_why({"stage": "", "reason": "the run's time was over"}) == "the run's time was over"


def test_a_transient_failure_is_tried_again_when_it_is_due_and_waits_without_a_worker_until_then() -> None:
    due = NOW + timedelta(seconds=5)
    run = view(first=failed(transient=True, retry_at=due))
    assert decide(PLAN, run, NOW) == (Park(due),)
    assert decide(PLAN, run, due) == [Start("first", 2)]


@pytest.mark.parametrize(("left_s", "told_s"), [(-1.0, 0.0), (0.0, 0.0), (AHEAD_S / 2, AHEAD_S / 2), (1.0, 0.0)])
def test_a_run_that_was_taken_ahead_of_its_time_knows_how_much_of_that_is_left(left_s: float, told_s: float) -> None:
    run = view(first=failed(transient=True, retry_at=NOW + timedelta(seconds=left_s)))
    assert due_in_s(PLAN, run, NOW) == pytest.approx(told_s)


def test_a_run_that_waits_for_no_time_is_not_held() -> None:
    assert due_in_s(PLAN, view(), NOW) == 0.0
    assert due_in_s(PLAN, passed(view(first=done()), GateState.WAITING), NOW) == 0.0


def test_the_policy_bounds_the_attempts() -> None:
    run = view(first=failed(1, transient=True))
    run.record("first", failed(2, transient=True))
    [close] = decide(PLAN, run, NOW)
    assert close == Close(RunState.FAILED, "first", "failed 2 times, its policy allows no more")


def test_a_permanent_failure_ends_the_run_at_once() -> None:
    assert decide(PLAN, view(first=failed(transient=False)), NOW) == (
        Close(RunState.FAILED, "first", "a permanent failure"),
    )


def test_a_lost_attempt_is_made_again_without_counting_as_a_failure_until_it_is_poison() -> None:
    run = RunView()
    for attempt in range(1, POISON_LIMIT):
        run.record("first", Tried(attempt, AttemptState.LOST))
        assert decide(PLAN, run, NOW) == [Start("first", attempt + 1)]
    run.record("first", Tried(POISON_LIMIT, AttemptState.LOST))
    assert decide(PLAN, run, NOW) == (Close(RunState.FAILED, "first", "its worker was lost 5 times"),)


def test_a_run_adopted_too_often_without_progress_stops_and_progress_clears_it() -> None:
    run = RunView(adoptions=POISON_LIMIT)
    [close] = decide(PLAN, run, NOW)
    assert isinstance(close, Close)
    assert close.state is RunState.FAILED
    run.record("first", done())
    assert not any(isinstance(move, Close) for move in decide(PLAN, run, NOW))


def test_cancelling_waits_for_what_is_under_way_and_then_closes() -> None:
    run = view(first=Tried(1, AttemptState.RUNNING))
    run.cancel = True
    assert decide(PLAN, run, NOW) == ()
    run.record("first", Tried(1, AttemptState.CANCELLED))
    assert decide(PLAN, run, NOW) == (Close(RunState.CANCELLED, reason="cancelled on request"),)


def test_a_run_has_succeeded_when_every_stage_has() -> None:
    run = passed(view(first=done(), left=done(), right=done(), last=done()))
    assert decide(PLAN, run, NOW) == (Close(RunState.SUCCEEDED),)
