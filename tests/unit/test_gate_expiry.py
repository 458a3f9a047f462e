"""A gate that waits for people only so long: when it is looked at again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from service.machine import Check, Close, Park, decide
from service.model import Checked, GateState, RunState, RunView
from stages.gates import approved
from tests.unit.test_gates import ask
from tests.unit.test_machine import NOW, OUTPUT, PLAN, done, failed, view

DUE = NOW + timedelta(hours=1)


def waiting(run: RunView) -> RunView:
    run.gates["first-left"] = Checked(GateState.WAITING, OUTPUT.digest, "waits for leads", DUE)
    return run


def test_a_run_parks_until_the_time_of_its_gate_is_over_and_then_checks_it() -> None:
    run = waiting(view(first=done(), right=done()))
    assert decide(PLAN, run, NOW) == (Park(DUE),)
    assert decide(PLAN, run, DUE - timedelta(microseconds=1)) == (Park(DUE),)
    assert decide(PLAN, run, DUE) == [Check("first-left")]


def test_what_is_due_earlier_wakes_the_run_earlier() -> None:
    retry_at = NOW + timedelta(seconds=5)
    run = waiting(view(first=done(), right=failed(transient=True, retry_at=retry_at)))
    assert decide(PLAN, run, NOW) == (Park(retry_at),)


def test_a_gate_whose_time_is_over_is_checked_once_and_then_ends_the_run() -> None:
    run = waiting(view(first=done(), right=done()))
    run.checking.add("first-left")
    assert decide(PLAN, run, DUE) == []
    run.checking.clear()
    run.gates["first-left"] = Checked(GateState.FAILED, OUTPUT.digest, "nobody decided within 3600 s")
    [close] = decide(PLAN, run, DUE)
    assert close == Close(RunState.FAILED, "first-left", "gate first-left: nobody decided within 3600 s")


async def test_the_result_says_how_long_it_waits_and_for_how_many() -> None:
    found = await ask(approved(by=["leads", "kim"], n=2, expires_s=3600))
    assert found.state is GateState.WAITING
    assert found.expires_s == 3600
    assert found.evidence == {"by": ["leads", "kim"], "needed": 2, "named": True, "expires_s": 3600}
    assert found.reason == "waits for 2 people of leads or kim"


@pytest.mark.parametrize("wrong", [{"n": 0}, {"n": 101}, {"n": True}, {"n": 1.5}, {"expires_s": 0},
                                   {"expires_s": float("inf")}, {"expires_s": float("nan")}, {"by": [1]}])  # fmt: skip
def test_what_could_never_be_decided_is_refused_when_it_is_declared(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"approved\("):
        approved(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("nobody", [[], (), [""], "", " ", ["ann", ""]])
def test_a_list_that_names_nobody_is_not_anybody(nobody: object) -> None:
    with pytest.raises(ValueError, match=r"say who may approve, or leave `by` out for anybody"):
        approved(by=nobody)  # type: ignore[arg-type]
