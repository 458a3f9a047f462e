"""Failing to sign in: so often, then not for a while; and nobody fills the memory by it."""

from __future__ import annotations

import pytest

from service.api.problems import Problem
from service.api.tries import MOST, REMEMBERED, WITHIN_S, Tries


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_after_so_many_failures_an_address_waits() -> None:
    clock = Clock()
    tries = Tries(clock)
    for _ in range(MOST["address"]):
        tries.check("10.0.0.1", "")
        tries.fail("10.0.0.1", "")
        clock.now += 1
    with pytest.raises(Problem, match="too many tries") as caught:
        tries.check("10.0.0.1", "anybody")
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "290")
    tries.check("10.0.0.2", "anybody")
    clock.now = WITHIN_S
    tries.check("10.0.0.1", "anybody")


def test_a_name_waits_wherever_one_comes_from() -> None:
    tries = Tries(Clock())
    for number in range(MOST["name"]):
        tries.check(f"10.0.0.{number}", "Kim")
        tries.fail(f"10.0.0.{number}", "Kim")
    with pytest.raises(Problem, match="from this name"):
        tries.check("10.0.1.1", "kim")
    tries.check("10.0.1.1", "lee")


def test_failures_long_ago_do_not_add_up() -> None:
    clock = Clock()
    tries = Tries(clock)
    for _ in range(MOST["address"] * 3):
        tries.fail("10.0.0.1", "")
        tries.check("10.0.0.1", "")
        clock.now += WITHIN_S


def test_what_is_remembered_is_bounded_and_the_latest_stays() -> None:
    tries = Tries(Clock())
    for number in range(REMEMBERED * 2):
        tries.fail(str(number), "")
    for _ in range(MOST["address"]):
        tries.fail("last", "")
    assert len(tries) == REMEMBERED
    with pytest.raises(Problem):
        tries.check("last", "")
