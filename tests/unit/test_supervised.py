"""A listener that dies of what nobody expected starts again, anew and later each time, and says so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from service.loops import supervised
from service.loops.supervised import Lags, Supervised
from triggers.base import ListenerState, TriggerStatus


class Times:
    """A clock that says how long it was asked to sleep, and lets a test look meanwhile."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.at = datetime(2026, 1, 1, tzinfo=UTC)
        self.asleep = asyncio.Event()
        self.wake = asyncio.Event()

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.asleep.set()
        await self.wake.wait()
        self.wake.clear()
        self.asleep.clear()


class Listens:
    """Dies of each of the errors it is given, one after the other, and then listens."""

    made: list[Listens]

    def __init__(self, errors: list[BaseException]) -> None:
        self.errors = errors
        self.status = TriggerStatus("p/t", "kind", ListenerState.LISTENING, "well")
        self.made.append(self)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.listen())

    async def listen(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        await asyncio.Event().wait()

    def statuses(self) -> Sequence[TriggerStatus]:
        return [self.status]


@pytest.fixture(autouse=True)
def anew() -> None:
    Listens.made = []


async def test_it_starts_again_each_time_later_and_is_made_anew(caplog: pytest.LogCaptureFixture) -> None:
    times, errors = Times(), [KeyError("first"), RuntimeError("second"), asyncio.CancelledError()]
    one = Supervised(lambda: Listens(errors), times)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(one.run())
        for number, said in ((1, "KeyError: 'first'"), (2, "RuntimeError: second")):
            await times.asleep.wait()
            [status] = one.statuses()
            assert (status.state, one.restarts) == (ListenerState.RETRYING, number)
            assert f"it stopped ({said}) and starts again within {2 ** (number - 1)} s" in status.note
            times.wake.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        while len(Listens.made) < 3:
            await asyncio.sleep(0)
        running.cancel()
    assert times.slept[:2] == [1.0, 2.0]
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "what listens for p/t stopped, and starts again in 1 s" in told[0]
    assert "KeyError: 'first'" in told[0]


async def test_it_waits_a_minute_at_most_and_a_long_good_time_is_a_new_start(monkeypatch: pytest.MonkeyPatch) -> None:
    times = Times()
    one = Supervised(lambda: Listens([KeyError("again")] * 1), times)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(one.run())
        for _ in range(9):
            await times.asleep.wait()
            times.wake.set()
            while times.asleep.is_set():
                await asyncio.sleep(0)
        await times.asleep.wait()
        monkeypatch.setattr(supervised, "WELL_S", 0.0)
        times.wake.set()
        while len(times.slept) < 11:
            await asyncio.sleep(0)
        running.cancel()
    assert times.slept == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 1]


async def test_one_that_has_nothing_to_do_ends() -> None:
    class Idle(Listens):
        async def run(self) -> None:
            return

    await Supervised(lambda: Idle([]), Times()).run()
    assert len(Listens.made) == 1


def status(waiting: int | None, **more: datetime) -> TriggerStatus:
    return TriggerStatus("p/t", "kind", lag_records=waiting, **more)  # type: ignore[arg-type]


async def test_lag_in_seconds_is_how_long_what_waits_has_waited_at_most() -> None:
    times = Times()
    lags, start = Lags(times), times.at
    assert lags.of(status(None)) is None
    assert lags.of(status(None, next_due_at=start + timedelta(seconds=9))) == 0
    assert lags.of(status(None, next_due_at=start - timedelta(seconds=9))) == 9
    assert lags.of(status(0)) == 0
    times.at = start + timedelta(seconds=60)
    assert lags.of(status(5)) == 60  # something came since nothing waited
    assert lags.of(status(5, read_until=start + timedelta(seconds=50))) == 10  # and what was read is younger
    assert lags.of(status(5, read_until=start - timedelta(days=1))) == 60
    assert lags.of(status(0)) == 0
    times.at += timedelta(seconds=3)
    assert lags.of(status(1)) == 3


async def test_one_that_starts_again_is_not_one_that_never_heard() -> None:
    """A daemon with one that starts is not ready; all others of it would lose their traffic at each restart."""
    times = Times()
    one = Supervised(lambda: Listens([KeyError("odd")] if not Listens.made else []), times)
    Listens.made[0].status = TriggerStatus("p/t", "kind")
    assert [each.state for each in one.statuses()] == [ListenerState.STARTING]
    async with asyncio.TaskGroup() as group:
        running = group.create_task(one.run())
        await times.asleep.wait()
        times.wake.set()
        while len(Listens.made) < 2:
            await asyncio.sleep(0)
        Listens.made[1].status = TriggerStatus("p/t", "kind")
        [starting] = one.statuses()
        assert (starting.state, starting.note) == (
            ListenerState.RETRYING,
            "it stopped (KeyError: 'odd') and is starting again",
        )
        Listens.made[1].status = TriggerStatus("p/t", "kind", ListenerState.LISTENING)
        assert [each.state for each in one.statuses()] == [ListenerState.LISTENING]
        running.cancel()
