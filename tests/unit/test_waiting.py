"""What waits for the writer: how much goes into one flush, and when it is too much to take in more."""

from __future__ import annotations

from dataclasses import dataclass

from service.db.waiting import FLUSH_BYTES, FLUSH_LIMIT, QUEUE_BYTES, QUEUE_LIMIT, Waiting

MB = 1024 * 1024


@dataclass(frozen=True)
class One:
    name: int
    weight_bytes: int = 0
    alone: bool = False


def flushes(queue: Waiting[One]) -> list[list[int]]:
    found = []
    while taken := queue.take():
        found.append([one.name for one in taken])
    return found


def given(*ones: One) -> Waiting[One]:
    queue: Waiting[One] = Waiting()
    for one in ones:
        queue.put(one)
    return queue


def test_as_many_go_together_as_may() -> None:
    queue = given(*(One(n) for n in range(FLUSH_LIMIT + 1)))
    assert flushes(queue) == [[*range(FLUSH_LIMIT)], [FLUSH_LIMIT]]


def test_what_is_heavy_goes_in_several_flushes_and_in_order() -> None:
    third = FLUSH_BYTES // 3
    assert flushes(given(*(One(n, third) for n in range(7)))) == [[0, 1, 2], [3, 4, 5], [6]]


def test_what_is_heavier_than_a_flush_goes_by_itself() -> None:
    assert flushes(given(One(0, 5), One(1, 2 * FLUSH_BYTES), One(2, 5))) == [[0], [1], [2]]


def test_what_goes_alone_goes_first_and_alone() -> None:
    assert flushes(given(One(0), One(1), One(2, alone=True))) == [[2], [0, 1]]


def test_it_is_full_by_number_and_by_weight_until_some_has_been_taken() -> None:
    many, heavy = given(*(One(n) for n in range(QUEUE_LIMIT))), given(*(One(n, MB) for n in range(QUEUE_BYTES // MB)))
    few, light = given(*(One(n) for n in range(QUEUE_LIMIT - 1))), given(One(0, QUEUE_BYTES - 1))
    assert [one.full for one in (many, heavy, few, light)] == [True, True, False, False]
    for one in (many, heavy):
        assert one.take()
        assert not one.full
        flushes(one)
