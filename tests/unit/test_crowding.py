"""What happens to a run that comes while others of its key are not finished."""

from __future__ import annotations

import pytest

from service.crowding import DROPPED, Newcomer, dropped, replaced, why_dropped
from stages.limits import Concurrency
from triggers.event import event_key

KEY = ("a", "x")
DROP, CANCEL = Concurrency("subject", policy="drop_new"), Concurrency("subject", policy="cancel_running")


def place(name: str) -> tuple:  # type: ignore[type-arg]
    return (event_key("tests", name), "a")


def newcomer(name: str, limit: Concurrency, key: tuple[str, str] = KEY) -> Newcomer:
    return Newcomer(place(name), key, limit)


def test_the_first_of_a_key_comes_to_be_and_those_after_it_do_not() -> None:
    found = dropped([newcomer(name, DROP) for name in "123"], {}, set())
    assert found == {place("2"): place("1"), place("3"): place("1")}


def test_who_comes_while_a_run_is_not_finished_is_dropped_by_it() -> None:
    other = newcomer("2", DROP, ("a", "y"))
    assert dropped([newcomer("1", DROP), other], {KEY: [7]}, set()) == {place("1"): 7}


def test_as_many_as_are_allowed_come_to_be() -> None:
    limit = Concurrency("subject", at_most=2, policy="drop_new")
    assert dropped([newcomer(name, limit) for name in "123"], {KEY: [7]}, set()) == {place("2"): 7, place("3"): 7}


def test_a_repeat_holds_nothing_and_is_not_dropped() -> None:
    assert dropped([newcomer("1", DROP), newcomer("2", DROP)], {}, {place("1")}) == {}


def test_the_newest_takes_the_place_of_all_before_it() -> None:
    newcomers = [newcomer("1", CANCEL), newcomer("2", CANCEL)]
    assert dropped(newcomers, {KEY: [7]}, set()) == {}
    assert replaced(newcomers, {KEY: [6, 7]}, {place("1"): 8, place("2"): 9}) == {6: 8, 7: 8, 8: 9}


def test_as_many_of_the_newest_stay_as_are_allowed() -> None:
    limit = Concurrency("subject", at_most=2, policy="cancel_running")
    assert replaced([newcomer("1", limit)], {KEY: [6, 7]}, {place("1"): 8}) == {6: 8}


def test_a_repeat_replaces_nothing() -> None:
    assert replaced([newcomer("1", CANCEL)], {KEY: [7]}, {}) == {}


@pytest.mark.parametrize("at_most", [1, 2])
def test_the_reason_names_the_run_and_its_key(at_most: int) -> None:
    reason = why_dropped(12, "acme", Concurrency("subject", at_most=at_most, policy="drop_new"))
    assert reason.startswith(DROPPED)
    assert "run 12" in reason
    assert "'acme'" in reason
    assert ("at most 2" in reason) is (at_most == 2)
