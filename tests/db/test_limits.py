"""What a pipeline declares of how many of its runs may be under way: who waits, who is dropped, who gives way."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from service.app import Daemon
from service.build import open_daemon
from service.db.claims import LOCK
from service.db.connect import sql
from service.db.steering import Cancel, Resume
from service.db.votes import DecideGate
from service.errors import ConfigError
from service.loops import executor
from service.model import GateState, RunState
from service.settings import Role, Settings
from service.values import Amount
from stages.base import stage
from stages.gates.base import GateResult
from stages.limits import Concurrency
from stages.pipeline import Pipeline
from tests.db.daemons import attempts, catalogue, daemon, event, reached, settings, start, state
from tests.db.writing import event_row, rows
from triggers.base import Arrival, Fate, Offer, Outcome
from triggers.event import Event


@pytest.fixture(autouse=True)
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes on, goes on because somebody was woken."""
    monkeypatch.setattr(executor, "SAFETY_POLL_S", 60.0)


class Gatekeeper:
    """Stages that say when they begin, and end when they are told to."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.begun = asyncio.Semaphore(0)
        self._turns: dict[str, asyncio.Event] = {}

    def pipeline(self, name: str, **policy: Any) -> Pipeline:
        @stage
        async def hold(event: Event) -> int:
            self.order.append(event.id)
            self.begun.release()
            await self._turns.setdefault(event.id, asyncio.Event()).wait()
            return 1

        return Pipeline(name, [hold], **policy)

    def let(self, *event_ids: str) -> None:
        for event_id in event_ids:
            self._turns.setdefault(event_id, asyncio.Event()).set()


async def outcome(one: Daemon, pipeline: str, event_id: str, data: Any = None) -> Outcome:
    [receipt] = await one.inbox.accept([Arrival(event(event_id, data), [Offer(pipeline, "test")])])
    [found] = receipt.outcomes
    return found


def steady(dsn: str, folder: Path, *roles: Role, **executor: Any) -> Settings:
    """Settings with a lease that outlasts a busy machine: an adopted run would begin twice."""
    return settings(dsn, folder, *roles, lease_s=30.0, **executor)


def pooled(given: Settings, **pools: int) -> Settings:
    return dataclasses.replace(given, pools=tuple(Amount(name, float(count)) for name, count in pools.items()))


async def test_a_run_waits_for_a_free_place_and_starts_when_there_is_one(database: str, tmp_path: Path) -> None:
    held = Gatekeeper()
    pipeline = held.pipeline("single", max_running=1)
    async with daemon(steady(database, tmp_path), pipeline) as one, daemon(steady(database, tmp_path), pipeline):
        runs = [await start(one, "single", name) for name in "123"]
        await held.begun.acquire()
        assert [await state(one, run) for run in runs] == [RunState.RUNNING, RunState.QUEUED, RunState.QUEUED]
        held.let("1")
        await held.begun.acquire()
        assert await state(one, runs[0]) is RunState.SUCCEEDED
        held.let("2", "3")
        assert [await reached(one, run) for run in runs] == [RunState.SUCCEEDED] * 3
    assert held.order == ["1", "2", "3"]


async def test_who_waits_in_another_process_is_woken_when_a_place_is_free(database: str, tmp_path: Path) -> None:
    held = Gatekeeper()
    left, right = (held.pipeline(name, pool="warehouse") for name in ("left", "right"))
    given = pooled(steady(database, tmp_path), warehouse=1)
    async with daemon(given, left) as one, daemon(given, right) as two:
        first = await start(one, "left", "1")
        await held.begun.acquire()
        second = await start(two, "right", "2")
        await silence(two)
        held.let("1", "2")
        assert [await reached(one, run) for run in (first, second)] == [RunState.SUCCEEDED] * 2


async def test_who_is_woken_while_a_claim_is_under_way_looks_again(database: str, tmp_path: Path) -> None:
    held = Gatekeeper()
    held.let("1", "2")
    pipeline = held.pipeline("single", max_running=5)
    lock = await asyncpg.connect(database)
    async with daemon(steady(database, tmp_path), pipeline) as one:
        transaction = lock.transaction()
        await transaction.start()
        await queue(database, pipeline, "1")
        await lock.execute("lock table run_log in exclusive mode")
        one.executor.wake()  # type: ignore[union-attr]
        await until(database, "select from pg_stat_activity where wait_event_type = 'Lock'")
        heard = asyncio.Event()
        one.executor.wake, wake = (lambda: (heard.set(), wake())), one.executor.wake  # type: ignore[union-attr, misc, assignment]
        await queue(database, pipeline, "2")
        await rows(database, "select pg_notify('tidemill_wake', '')")
        await heard.wait()
        await transaction.rollback()
        for _ in range(2):
            async with asyncio.timeout(10):
                await held.begun.acquire()
    await lock.close()


async def test_a_process_that_sleeps_in_the_middle_of_a_claim_stops_only_runs_with_limits(
    database: str, tmp_path: Path
) -> None:
    held = Gatekeeper()
    held.let("1", "2")
    single, free = held.pipeline("single", max_running=1), held.pipeline("free")
    sleeper = await asyncpg.connect(database)
    async with daemon(steady(database, tmp_path), single, free) as one:
        async with sleeper.transaction():
            await sleeper.execute("select pg_advisory_xact_lock($1)", LOCK)
            waiting = await start(one, "single", "1")
            await queue(database, free, "2")
            await rows(database, "select pg_notify('tidemill_wake', '')")
            assert await reached(one, 2) is RunState.SUCCEEDED
            assert await state(one, waiting) is RunState.QUEUED
        assert await reached(one, waiting) is RunState.SUCCEEDED
    await sleeper.close()


async def queue(dsn: str, pipeline: Pipeline, event_id: str) -> None:
    """Queue a run without telling anybody."""
    one = event_row(event_id)
    await rows(
        dsn,
        "insert into events (key, source, id, type, occurred_at, envelope) values ($1, 'tests', $2, 't', now(), $3)",
        *(one.key, event_id, one.envelope.replace(b'"id":"x"', f'"id":"{event_id}"'.encode())),
    )
    await rows(
        dsn,
        "insert into runs (event_key, pipeline, version, trigger, params, state, ready_at, limited, key)"
        " values ($1, $2, $3, 't', '{}', 'queued', now(), true, 'x')",
        *(one.key, pipeline.name, pipeline.version),
    )


async def silence(one: Daemon) -> None:
    """Wait until a daemon has nothing more to write."""
    async with asyncio.timeout(10):
        before = -1
        while before != one.writer.commits:
            before = one.writer.commits
            await asyncio.sleep(0.2)


async def until(dsn: str, query: str) -> None:
    """Wait until a query finds something."""
    async with asyncio.timeout(10):
        while not await rows(dsn, query):
            await asyncio.sleep(0.01)


async def test_two_processes_that_accept_runs_of_one_key_wait_for_each_other(database: str, tmp_path: Path) -> None:
    held = Gatekeeper()
    dropping = held.pipeline("dropping", concurrency=Concurrency("data", policy="drop_new"))
    other = await asyncpg.connect(database)
    async with daemon(steady(database, tmp_path, Role.API), dropping) as one:
        transaction = other.transaction()
        await transaction.start()
        await other.execute(sql("lock_keys"), ["dropping"], ["x"])
        async with asyncio.TaskGroup() as tasks:
            accepting = tasks.create_task(outcome(one, "dropping", "2", "x"))
            await until(database, "select from pg_stat_activity where wait_event_type = 'Lock'")
            await queue(database, dropping, "1")
            await transaction.commit()
        assert accepting.result().reason == "dropped: run 1 of the same key 'x' has not finished"
    await other.close()


async def test_a_run_that_waits_for_a_person_holds_no_place_and_waits_for_one_when_approved(
    database: str, tmp_path: Path
) -> None:
    held = Gatekeeper()
    opened = Gatekeeper()

    @stage
    async def first(event: Event) -> str:
        opened.order.append(event.id)
        return event.id

    @stage
    async def hold(first: str) -> str:
        held.order.append(first)
        held.begun.release()
        await held._turns.setdefault(first, asyncio.Event()).wait()
        return first

    def ask(output: str) -> GateResult:
        return GateResult(GateState.WAITING if output == "1" else GateState.PASSED, "a person decides")

    asking = Pipeline("asking", [first, hold], gates={("first", "hold"): ask}, max_running=1)
    async with daemon(steady(database, tmp_path), asking) as one:
        waiting = await start(one, "asking", "1")
        await reached(one, waiting, RunState.WAITING)
        other = await start(one, "asking", "2")
        late = await start(one, "asking", "3")
        await held.begun.acquire()
        await one.writer.submit(DecideGate(waiting, "asking", "first-hold", "approved", "kim", "fine"))
        assert await state(one, waiting) is RunState.WAITING
        held.let("1", "2", "3")
        for run in (other, waiting, late):
            assert await reached(one, run) is RunState.SUCCEEDED
    assert held.order == ["2", "1", "3"]


async def test_runs_of_one_key_queue_in_order_and_others_pass_them(database: str, tmp_path: Path) -> None:
    held = Gatekeeper()
    keyed = held.pipeline("keyed", concurrency=Concurrency("data.customer"))
    async with daemon(steady(database, tmp_path), keyed) as one:
        runs = [await start(one, "keyed", f"a{n}", {"customer": "a"}) for n in range(4)]
        await held.begun.acquire()
        for name, data in (("b", {"customer": "b"}), ("none", {}), ("null", {"customer": None})):
            await start(one, "keyed", name, data)
            await held.begun.acquire()
        assert held.order == ["a0", "b", "none", "null"]
        held.let("b", "none", "null", "a0", "a1", "a2", "a3")
        for run in runs:
            assert await reached(one, run) is RunState.SUCCEEDED
    assert held.order[4:] == ["a1", "a2", "a3"]


async def test_many_runs_of_a_key_in_one_batch_keep_their_order(database: str, tmp_path: Path) -> None:
    held = Gatekeeper()
    keyed = held.pipeline("keyed", concurrency=Concurrency("data"))
    names = [f"{n:03}" for n in range(300)]
    held.let(*names)
    async with daemon(steady(database, tmp_path), keyed) as one:
        arrivals = [Arrival(event(name, "x"), [Offer("keyed", "test")]) for name in names]
        receipts = await one.inbox.accept(arrivals)
        for receipt in receipts:
            run = receipt.outcomes[0].run_id
            assert run is not None
            await reached(one, run)
    assert held.order == names


async def test_with_drop_new_an_event_is_ignored_while_its_key_is_held_and_says_by_whom(
    database: str, tmp_path: Path
) -> None:
    held = Gatekeeper()
    dropping = held.pipeline("dropping", concurrency=Concurrency("data", policy="drop_new"))
    async with daemon(steady(database, tmp_path), dropping) as one:
        first = await start(one, "dropping", "1", "x")
        await held.begun.acquire()
        dropped = await outcome(one, "dropping", "2", "x")
        assert (dropped.fate, dropped.run_id) == (Fate.IGNORED, None)
        assert dropped.reason == f"dropped: run {first} of the same key 'x' has not finished"
        assert await outcome(one, "dropping", "1", "x") == Outcome("dropping", "test", Fate.RAN, "", first)
        held.let("1")
        await reached(one, first)
        assert await outcome(one, "dropping", "2", "x") == dropped
        held.let("3")
        assert await reached(one, await start(one, "dropping", "3", "x")) is RunState.SUCCEEDED
    assert held.order == ["1", "3"]


async def test_with_drop_new_one_of_many_comes_to_be_however_many_daemons_hear_at_once(
    database: str, tmp_path: Path
) -> None:
    held = Gatekeeper()
    dropping = held.pipeline("dropping", concurrency=Concurrency("data", policy="drop_new"))
    given = steady(database, tmp_path)
    async with daemon(given, dropping) as one, daemon(given, dropping) as two:
        found = await asyncio.gather(
            *(outcome((one, two)[n % 2], "dropping", f"{key}{n}", key) for n in range(40) for key in "xyz")
        )
        ran = [each.run_id for each in found if each.fate is Fate.RAN]
        assert len(ran) == 3
        told = {each.reason.split()[2] for each in found if each.fate is Fate.IGNORED}
        assert told == {str(run) for run in ran}
        held.let(*(f"{key}{n}" for n in range(40) for key in "xyz"))
        for run in ran:
            assert run is not None
            assert await reached(one, run) is RunState.SUCCEEDED
    assert len(held.order) == 3


async def test_with_cancel_running_the_newest_replaces_those_before_it(database: str, tmp_path: Path) -> None:
    held = Gatekeeper()
    replacing = held.pipeline("replacing", concurrency=Concurrency("data", policy="cancel_running"))
    given = steady(database, tmp_path)
    async with daemon(given, replacing) as one, daemon(given, replacing) as two:
        first = await start(one, "replacing", "1", "x")
        await held.begun.acquire()
        second = await start(two, "replacing", "2", "x")
        await held.begun.acquire()
        assert await reached(one, first) is RunState.CANCELLED
        assert held.order == ["1", "2"]
        held.let("2")
        assert await reached(one, second) is RunState.SUCCEEDED
    [row] = await rows(database, "select cancelled_by from runs where id = $1", first)
    assert row["cancelled_by"] == f"tidemill: replaced by run {second}"


async def test_with_cancel_running_one_of_many_at_once_is_left(database: str, tmp_path: Path) -> None:
    held = Gatekeeper()
    replacing = held.pipeline("replacing", concurrency=Concurrency("data", policy="cancel_running"))
    given = steady(database, tmp_path)
    async with daemon(given, replacing) as one, daemon(given, replacing) as two:
        runs = await asyncio.gather(*(start((one, two)[n % 2], "replacing", str(n), "x") for n in range(30)))
        held.let(*map(str, range(30)))
        ends = {run: await reached(one, run) for run in runs}
    assert ends[max(runs)] is RunState.SUCCEEDED
    assert await rows(database, "select from runs where finished_at is null") == []


async def test_a_pool_is_shared_and_must_be_set(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = Gatekeeper()
    left, right = (held.pipeline(name, pool="warehouse") for name in ("left", "right"))
    with pytest.raises(ConfigError, match=r"pool 'warehouse'.*TIDEMILL_POOLS"):
        await open_daemon(steady(database, tmp_path), catalogue([left]), None)
    async with daemon(pooled(steady(database, tmp_path), warehouse=1), left, right) as one:
        first, second = await start(one, "left", "1"), await start(one, "right", "2")
        await held.begun.acquire()
        assert await state(one, second) is RunState.QUEUED
        with caplog.at_level(logging.WARNING, logger="tidemill"):
            async with daemon(pooled(steady(database, tmp_path), warehouse=2), left):
                await held.begun.acquire()
        assert "pool warehouse had 1 places and has 2 now" in caplog.text
        held.let("1", "2")
        assert [await reached(one, run) for run in (first, second)] == [RunState.SUCCEEDED] * 2


async def test_a_run_that_was_cancelled_while_it_stood_in_a_lane_starts_when_it_is_resumed(
    database: str, tmp_path: Path
) -> None:
    held = Gatekeeper()
    keyed = held.pipeline("keyed", concurrency=Concurrency("data"))
    async with daemon(steady(database, tmp_path), keyed) as one:
        first, second = await start(one, "keyed", "1", "x"), await start(one, "keyed", "2", "x")
        await held.begun.acquire()
        await one.writer.drained()
        await one.writer.submit(Cancel(second, "kim"))
        held.let("1", "2", "3")
        await reached(one, first)
        await reached(one, await start(one, "keyed", "3", "x"))
        assert await rows(database, "select from lanes") == []
        await one.writer.submit(Resume(second, "kim"))
        assert await reached(one, second) is RunState.SUCCEEDED


async def test_a_run_given_back_goes_on_before_those_accepted_later(database: str, tmp_path: Path) -> None:
    held = Gatekeeper()
    pipeline = held.pipeline("single", max_running=1)
    given = steady(database, tmp_path, drain_s=0)
    async with daemon(given, pipeline) as one:
        runs = [await start(one, "single", name) for name in "12"]
        await held.begun.acquire()
    held.let("1", "2")
    async with daemon(given, pipeline) as one:
        for run in runs:
            assert await reached(one, run) is RunState.SUCCEEDED
        assert await attempts(one, runs[0]) == [("hold", 1, "cancelled"), ("hold", 2, "succeeded")]
    assert held.order == ["1", "1", "2"]


async def test_a_start_may_have_a_priority_of_its_own(database: str, tmp_path: Path) -> None:
    held = Gatekeeper()
    pipeline = held.pipeline("single", max_running=1, priority=-5)
    async with daemon(steady(database, tmp_path), pipeline) as one:
        for name, priority in (("1", None), ("2", None), ("3", 7)):
            offer = Offer("single", "test", priority=priority)
            await one.inbox.accept([Arrival(event(name), [offer])])
        held.let("1", "2", "3")
        for run in (1, 2, 3):
            await reached(one, run)
        stored = await rows(database, "select priority from runs order by id")
    assert [row["priority"] for row in stored] == [-5, -5, 7]
    assert held.order == ["1", "3", "2"]
