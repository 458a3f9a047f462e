"""What a process holds of requests at once has a bound, and one that is alone always fits."""

from __future__ import annotations

from typing import Any

import pytest

from service.api.problems import Problem
from service.api.requests import read_body
from service.api.room import Room, take


def test_what_does_not_fit_is_sent_away_and_room_comes_back() -> None:
    room, one, two = Room(100), {}, {}  # type: ignore[var-annotated]
    with room.holding(one):
        take(one, 60)
        with room.holding(two):
            take(two, 40)
            with pytest.raises(Problem) as refused:
                take(two, 1)
            assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "1")
        assert room.held_bytes == 60
        with room.holding(two):
            take(two, 40)
    assert room.held_bytes == 0


def test_one_that_is_alone_may_be_larger_than_all_together() -> None:
    room, one, two = Room(100), {}, {}  # type: ignore[var-annotated]
    with room.holding(one):
        take(one, 90)
        take(one, 90)
        with room.holding(two), pytest.raises(Problem):
            take(two, 1)
    take({}, 1_000)
    assert room.held_bytes == 0


async def test_a_body_is_counted_as_it_comes() -> None:
    room, scope = Room(100), {"type": "http", "headers": []}  # type: ignore[var-annotated]
    parts = [b"x" * 40, b"x" * 40, b"x" * 40]

    async def receive() -> Any:
        return {"type": "http.request", "body": parts.pop(), "more_body": bool(parts)}

    other: dict[str, Any] = {}
    with room.holding(other), room.holding(scope):
        take(other, 30)
        with pytest.raises(Problem, match="holds 70 bytes"):
            await read_body(scope, receive, 1_000)
    assert room.held_bytes == 0
