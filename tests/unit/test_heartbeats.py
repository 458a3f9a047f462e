"""An attempt that gives no sign is stopped; one that gives signs runs as long as it likes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from service.loops.heartbeats import Heartbeats, NoSign
from stages import Event
from stages.call import Call

Move = Callable[[float], None]


@pytest.fixture
async def move(monkeypatch: pytest.MonkeyPatch) -> Move:
    """Moves the loop's clock on."""
    now = [100.0]
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0])

    def on(seconds: float) -> None:
        now[0] += seconds

    return on


def call(attempt: int = 1, item: int = -1) -> Call:
    event = Event(source="/t", id="e", type="t", time=datetime(2026, 1, 1, tzinfo=UTC))
    return Call(pipeline="p", stage="s", run_id=7, attempt=attempt, item=item, idempotency_key="k", event=event)


def watching() -> Heartbeats:
    return Heartbeats(asyncio.get_running_loop())


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_silence_stops_the_body_from_when_it_began(move: Move) -> None:
    beats, ended = watching(), False

    async def body() -> None:
        nonlocal ended
        async with beats.watch(call(), 10):
            move(99)
            await turns()
            beats.began(call())
            await turns()
            move(9)
            await turns()
            move(2)
            await turns()
            ended = True

    with pytest.raises(NoSign, match="gave no sign for 10 s") as stopped:
        await body()
    assert stopped.value.transient
    assert not ended


async def test_each_sign_begins_the_time_anew(move: Move) -> None:
    beats = watching()
    async with beats.watch(call(), 10):
        for _ in range(5):
            move(9)
            beats.heard(call())
            await turns()


async def test_a_sign_of_another_attempt_is_none(move: Move) -> None:
    beats = watching()

    async def body() -> None:
        async with beats.watch(call(item=1), 10):
            beats.heard(call(item=1))
            move(9)
            beats.heard(call(item=2))
            beats.heard(call(attempt=2, item=1))
            move(2)
            await turns()

    with pytest.raises(NoSign):
        await body()


async def test_a_sign_that_comes_too_late_changes_nothing(move: Move) -> None:
    beats = watching()

    async def body() -> None:
        async with beats.watch(call(), 10):
            beats.heard(call())
            try:
                move(11)
                await turns()
            finally:
                beats.heard(call())

    with pytest.raises(NoSign):
        await body()
    beats.heard(call())


async def test_an_attempt_without_a_heartbeat_may_be_silent(move: Move) -> None:
    async with watching().watch(call(), None):
        move(1e6)
        await turns()


async def test_what_else_stops_the_body_is_not_taken_for_silence(move: Move) -> None:
    beats = watching()

    async def its_own() -> None:
        async with beats.watch(call(), 10):
            raise TimeoutError("the stage's own")

    async def others() -> None:
        async with asyncio.timeout(5), beats.watch(call(), 10):
            move(6)
            await turns()

    for body in (its_own, others):
        with pytest.raises(TimeoutError):
            await body()
