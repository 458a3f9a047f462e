"""Events that share runs: batches and flurries, over several daemons, with repeats, cancels and claims in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.app import Daemon
from service.db.connect import connect, sql
from service.db.steering import Cancel, Resume
from service.loops import executor
from service.model import RunState
from service.settings import Role
from stages import Concurrency, Pipeline, stage
from tests.db.daemons import daemon, reached, settings
from tests.db.writing import members, rows
from triggers import Batch, Latest, Manual, RateLimit
from triggers.base import Arrival, Binding, Fate, Outcome, Trigger
from triggers.event import Event
from triggers.match import offer

LONG_S = 600.0


@pytest.fixture(autouse=True)
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever starts, starts because somebody was woken, or at its time."""
    monkeypatch.setattr(executor, "SAFETY_POLL_S", 60.0)


class Seen:
    """A pipeline that notes the events its runs get."""

    def __init__(self, trigger: Trigger, **policy: Any) -> None:
        self.runs: dict[str, list[str]] = {}

        @stage
        async def look(event: Event, events: list[Event]) -> list[str]:
            told = [one.id for one in events]
            self.runs[event.id] = told
            return told

        self.pipeline = Pipeline("seen", [look], on=[trigger], **policy)
        self.binding = Binding("seen", trigger)

    async def tell(self, one: Daemon, *ids: str, data: Any = None) -> list[Outcome]:
        arrivals = []
        for event_id in ids:
            happened = Event(source="tests", id=event_id, type="t", time=datetime.now(UTC), data=data)
            arrivals.append(Arrival(happened, [offer(self.binding, happened)]))
        return [receipt.outcomes[0] for receipt in await one.inbox.accept(arrivals)]


async def test_a_full_batch_starts_at_once_and_its_stage_gets_every_event(database: str, tmp_path: Path) -> None:
    seen = Seen(Manual(coalesce=Batch(3, LONG_S)))
    async with daemon(settings(database, tmp_path), seen.pipeline) as one:
        told = [(await seen.tell(one, event_id))[0] for event_id in "abc"]
        assert [outcome.fate for outcome in told] == [Fate.RAN, Fate.COALESCED, Fate.COALESCED]
        assert len({outcome.run_id for outcome in told}) == 1
        assert await reached(one, told[0].run_id or 0) is RunState.SUCCEEDED
    assert seen.runs == {"c": ["a", "b", "c"]}


async def test_a_batch_that_does_not_fill_up_starts_when_its_time_is_over(database: str, tmp_path: Path) -> None:
    seen = Seen(Manual(coalesce=Batch(100, 0.2)))
    async with daemon(settings(database, tmp_path), seen.pipeline) as one:
        [first, _] = await seen.tell(one, "a", "b")
        assert await reached(one, first.run_id or 0) is RunState.SUCCEEDED
        [after] = await seen.tell(one, "c")
        assert after.fate is Fate.RAN
        assert await reached(one, after.run_id or 0) is RunState.SUCCEEDED
    assert seen.runs == {"b": ["a", "b"], "c": ["c"]}


async def test_a_flurry_is_one_run_with_the_params_of_the_newest(database: str, tmp_path: Path) -> None:
    seen = Seen(Manual(coalesce=Latest(0.2, LONG_S)))
    async with daemon(settings(database, tmp_path), seen.pipeline) as one:
        [first, *_] = await seen.tell(one, *"abcd")
        assert await reached(one, first.run_id or 0) is RunState.SUCCEEDED
    assert seen.runs == {"d": ["a", "b", "c", "d"]}


async def test_more_than_a_batch_at_once_makes_several_runs(database: str, tmp_path: Path) -> None:
    seen = Seen(Manual(coalesce=Batch(100, LONG_S)))
    async with daemon(settings(database, tmp_path), seen.pipeline) as one:
        ids = [f"{number:04}" for number in range(2050)]
        told = await seen.tell(one, *ids)
        runs = list(dict.fromkeys(outcome.run_id or 0 for outcome in told))
        for run in runs[:-1]:
            assert await reached(one, run) is RunState.SUCCEEDED
    found = await members(database)
    assert [len(found[run]) for run in runs] == [100] * 20 + [50]
    assert [event_id for run in runs for event_id in found[run]] == ids


async def test_a_repeat_joins_nothing_and_puts_nothing_off(database: str, tmp_path: Path) -> None:
    seen = Seen(Manual(coalesce=Batch(3, LONG_S)))
    async with daemon(settings(database, tmp_path), seen.pipeline) as one:
        first = await seen.tell(one, "a", "b")
        assert await seen.tell(one, "a", "b", "b", "a") == [*first, first[1], first[0]]
        [row] = await rows(database, "select gathered, gathering, state from runs")
        assert (row["gathered"], row["gathering"], row["state"]) == (2, "", "queued")


async def test_events_share_a_run_by_key_and_a_batch_by_parameters_too(database: str, tmp_path: Path) -> None:
    seen = Seen(Manual(coalesce=Batch(2, LONG_S, key="data.customer")))
    async with daemon(settings(database, tmp_path), seen.pipeline) as one:
        [a1] = await seen.tell(one, "a1", data={"customer": "a"})
        [b1] = await seen.tell(one, "b1", data={"customer": "b"})
        [none] = await seen.tell(one, "none", data={})
        [a2] = await seen.tell(one, "a2", data={"customer": "a"})
        assert [a1.fate, b1.fate, none.fate, a2.fate] == [Fate.RAN, Fate.RAN, Fate.RAN, Fate.COALESCED]
        assert a2.run_id == a1.run_id


async def test_a_cancelled_run_gathers_no_more_not_even_once_it_is_resumed(database: str, tmp_path: Path) -> None:
    seen = Seen(Manual(coalesce=Batch(3, LONG_S)))
    async with daemon(settings(database, tmp_path), seen.pipeline) as one:
        [first] = await seen.tell(one, "a")
        [cancelled] = await one.writer.submit(Cancel(first.run_id or 0, "kim"))
        assert cancelled is RunState.CANCELLED
        [second] = await seen.tell(one, "b")
        assert (second.fate, second.run_id == first.run_id) == (Fate.RAN, False)
        await one.writer.submit(Resume(first.run_id or 0, "kim"))
        assert await reached(one, first.run_id or 0) is RunState.SUCCEEDED
        [third] = await seen.tell(one, "c")
        assert third.run_id == second.run_id


async def test_what_waits_its_turn_takes_what_comes_meanwhile(database: str, tmp_path: Path) -> None:
    """A run that is due and may not start yet gathers on: nothing piles up behind a long run."""
    go = asyncio.Event()
    got: list[list[str]] = []

    @stage
    async def slow(events: list[Event]) -> int:
        got.append([one.id for one in events])
        await go.wait()
        return 1

    trigger = Manual(coalesce=Latest(0.05, 0.1))
    one_at_a_time = Pipeline("seen", [slow], on=[trigger], concurrency=Concurrency("type"))
    seen = Seen(trigger)
    async with daemon(settings(database, tmp_path), one_at_a_time) as one:
        [first] = await seen.tell(one, "a")
        await reached(one, first.run_id or 0, RunState.RUNNING)
        [second] = await seen.tell(one, "b")
        await asyncio.sleep(0.3)
        [third] = await seen.tell(one, "c")
        assert third.run_id == second.run_id
        go.set()
        assert await reached(one, second.run_id or 0) is RunState.SUCCEEDED
    assert got == [["a"], ["b", "c"]]


@pytest.mark.parametrize("coalesce", [Batch(7, 0.05), Latest(0.02, 0.1)])
async def test_daemons_that_join_and_claim_at_once_lose_and_double_nothing(
    database: str, tmp_path: Path, coalesce: Any
) -> None:
    seen = Seen(Manual(coalesce=coalesce))
    ids = [str(number) for number in range(300)]
    given = settings(database, tmp_path, Role.EXECUTOR, lease_s=30.0)

    async with (
        daemon(given, seen.pipeline) as one,
        daemon(given, seen.pipeline) as two,
        daemon(given, seen.pipeline) as three,
    ):

        async def all_of_it(via: Daemon, step: int) -> list[Outcome]:
            """Every event, in an order of its own, one or a few at a time."""
            mixed = [ids[(number * step) % len(ids)] for number in range(len(ids))]
            told = []
            for place in range(0, len(mixed), step % 5 + 1):
                told += await seen.tell(via, *mixed[place : place + step % 5 + 1])
            return told

        async with asyncio.TaskGroup() as tasks:
            telling = [tasks.create_task(all_of_it(via, step)) for via, step in ((one, 7), (two, 11), (three, 13))]
        runs = {outcome.run_id for told in telling for outcome in told.result()}
        for run in runs:
            assert await reached(one, run or 0) is RunState.SUCCEEDED
    found = await members(database)
    assert Counter(event_id for events in found.values() for event_id in events) == Counter(ids)
    assert sorted(seen.runs.values()) == sorted(map(list, found.values()))
    if isinstance(coalesce, Batch):
        assert max(map(len, found.values())) <= 7


async def test_a_trigger_starts_no_more_runs_than_its_limit_over_all_daemons(database: str, tmp_path: Path) -> None:
    seen = Seen(Manual(rate_limit=RateLimit(5, LONG_S, key="data.who")))
    async with (
        daemon(settings(database, tmp_path), seen.pipeline) as one,
        daemon(settings(database, tmp_path), seen.pipeline) as two,
    ):
        async with asyncio.TaskGroup() as tasks:
            telling = [
                tasks.create_task(seen.tell(via, f"{name}{number}", data={"who": number % 2}))
                for number in range(20)
                for name, via in (("x", one), ("y", two))
            ]
        told = [task.result()[0] for task in telling]
        again = await seen.tell(two, "x0", data={"who": 0})
    fates = Counter(outcome.fate for outcome in told)
    assert fates == {Fate.RAN: 10, Fate.RATE_LIMITED: 30}
    reasons = {outcome.reason for outcome in told if outcome.fate is Fate.RATE_LIMITED}
    assert reasons == {f"this trigger starts at most 5 runs in 600 s for data.who={who} (rate_limit)" for who in (0, 1)}
    assert again == [told[0]]


async def test_another_trigger_of_the_pipeline_stands_in_for_one_that_has_started_enough(
    database: str, tmp_path: Path
) -> None:
    limited, free = Manual(name="limited", rate_limit=RateLimit(1, LONG_S)), Manual(name="free")
    seen = Seen(limited)
    async with daemon(settings(database, tmp_path), seen.pipeline) as one:
        fates = []
        for event_id in "ab":
            happened = Event(source="tests", id=event_id, type="t", time=datetime.now(UTC))
            offers = [offer(Binding("seen", trigger), happened) for trigger in (limited, free)]
            [receipt] = await one.inbox.accept([Arrival(happened, offers)])
            fates += [(outcome.fate, outcome.trigger) for outcome in receipt.outcomes]
    assert fates == [(Fate.RAN, "limited"), (Fate.RAN, "free")]


async def test_what_joins_a_run_that_is_dropped_is_dropped_with_it(database: str, tmp_path: Path) -> None:
    seen = Seen(
        Manual(coalesce=Batch(2, LONG_S, key="subject"), concurrency_key="type"),
        concurrency=Concurrency("subject", policy="drop_new"),
    )
    async with daemon(settings(database, tmp_path, Role.TRIGGERS), seen.pipeline) as one:
        told = await seen.tell(one, *"abcd")
        assert [outcome.fate for outcome in told] == [Fate.RAN, Fate.COALESCED, Fate.IGNORED, Fate.IGNORED]
        assert "has not finished" in told[3].reason
        assert await seen.tell(one, "d") == [told[3]]


async def test_an_event_that_comes_while_its_run_is_being_claimed_opens_another(database: str, tmp_path: Path) -> None:
    """Its accept waits for the claim, which has the run's row, and then finds it started."""
    seen = Seen(Manual(coalesce=Batch(9, LONG_S)))
    connection = await connect(database, by_index=True)
    try:
        async with daemon(settings(database, tmp_path, Role.TRIGGERS), seen.pipeline) as one:
            [first] = await seen.tell(one, "a")
            await connection.execute("update runs set ready_at = now()")
            async with asyncio.TaskGroup() as tasks, connection.transaction():
                claiming = (["seen"], ["v"], 5, [], 0.0)
                claimed = await connection.fetch(sql("claim"), one.writer.daemon, *claiming)
                assert [row["id"] for row in claimed] == [first.run_id]
                joining = tasks.create_task(seen.tell(one, "b"))
                await until_it_waits(database)
                assert not joining.done()
            [second] = joining.result()
            assert (second.fate, second.run_id == first.run_id) == (Fate.RAN, False)
    finally:
        await connection.close()


async def until_it_waits(dsn: str) -> None:
    """Return once a connection waits for a row of another transaction."""
    query = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(30):
        while not await rows(dsn, query):
            await asyncio.sleep(0.01)


async def test_a_claim_passes_by_a_run_that_an_event_is_joining(database: str, tmp_path: Path) -> None:
    """And nothing is lost: the run is claimed with that event once it is there."""
    seen = Seen(Manual(coalesce=Batch(9, LONG_S)))
    connection = await connect(database, by_index=True)
    try:
        async with daemon(settings(database, tmp_path, Role.TRIGGERS), seen.pipeline) as one:
            [first] = await seen.tell(one, "a")
            await connection.execute("update runs set ready_at = now()")
            async with connection.transaction():
                held = await connection.fetch(sql("gathering_runs"), ["seen"], ["manual"], [""])
                assert [row["id"] for row in held] == [first.run_id]
                claimed = await rows(database, sql("claim"), one.writer.daemon, ["seen"], ["v"], 5, [], 0.0)
                assert claimed == []
            claimed = await rows(database, sql("claim"), one.writer.daemon, ["seen"], ["v"], 5, [], 0.0)
            assert [row["id"] for row in claimed] == [first.run_id]
    finally:
        await connection.close()


async def test_an_event_that_was_ignored_may_still_join_and_one_that_was_late_may_not(
    database: str, tmp_path: Path
) -> None:
    picky = Manual(name="picky", where={"type": "other"})
    late, gathering = Manual(name="late", max_age_s=1), Manual(name="gathering", coalesce=Batch(9, LONG_S))
    pipeline = Seen(gathering).pipeline
    async with daemon(settings(database, tmp_path, Role.TRIGGERS), pipeline) as one:

        async def told(event_id: str, trigger: Trigger, age_s: float = 0.0) -> Outcome:
            at = datetime.now(UTC) - timedelta(seconds=age_s)
            happened = Event(source="tests", id=event_id, type="t", time=at)
            [receipt] = await one.inbox.accept([Arrival(happened, [offer(Binding("seen", trigger), happened)])])
            return receipt.outcomes[0]

        first = await told("a", gathering)
        assert (await told("b", picky)).fate is Fate.IGNORED
        joined = await told("b", gathering)
        assert (joined.fate, joined.run_id, joined.trigger) == (Fate.COALESCED, first.run_id, "gathering")
        assert await told("b", picky) == joined
        skipped = await told("c", late, age_s=5)
        assert skipped.fate is Fate.LATE
        assert await told("c", gathering) == skipped
    assert list((await members(database)).values()) == [["a", "b"]]
