"""Runs of one sequence: the next starts only when the one before it has succeeded, whoever drives them."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.app import Daemon
from service.db.connect import sql
from service.db.steering import Abandon, Cancel, Resume
from service.loops import executor
from service.model import RunState
from service.settings import Http, Role, Settings
from stages.base import stage
from stages.errors import Permanent, Transient
from stages.pipeline import Pipeline
from stages.retry import Retry
from tests.db.daemons import daemon, event, reached, settings, state
from tests.db.writing import rows
from triggers.base import Arrival, Offer, RunId
from triggers.event import Event


@pytest.fixture(autouse=True)
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes on, goes on because somebody was woken."""
    monkeypatch.setattr(executor, "SAFETY_POLL_S", 60.0)


class Batches:
    """A pipeline whose runs note when they begin and end, and go wrong as told."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str]] = []
        self.transient: set[str] = set()
        self.permanent: set[str] = set()
        self.endless: set[str] = set()

    def pipeline(self, **settings: object) -> Pipeline:
        @stage(retry=Retry(max_attempts=3, initial_s=0.05))
        async def load(event: Event) -> int:
            self.noted.append((event.id, "begins"))
            await asyncio.sleep(random.random() / 500)
            if event.id in self.transient:
                self.transient.remove(event.id)
                raise Transient("not now")
            if event.id in self.permanent:
                raise Permanent("never")
            while event.id in self.endless:
                await asyncio.sleep(0.01)
            self.noted.append((event.id, "ends"))
            return 1

        return Pipeline("ordered", [load], **settings)  # type: ignore[arg-type]

    def begun(self) -> list[str]:
        return list(dict.fromkeys(name for name, what in self.noted if what == "begins"))


def steady(dsn: str, folder: Path, *roles: Role) -> Settings:
    return settings(dsn, folder, *roles, lease_s=30.0)


async def accept(one: Daemon, *names: str, sequence: str = "a", priority: int | None = None) -> list[RunId]:
    """Accept events whose runs follow each other."""
    offer = Offer("ordered", "test", priority=priority, sequence=sequence)
    receipts = await one.inbox.accept([Arrival(event(name), [offer]) for name in names])
    return [receipt.outcomes[0].run_id for receipt in receipts]  # type: ignore[misc]


def in_order(noted: Sequence[tuple[str, str]], names: Sequence[str]) -> None:
    """Each of these ended before the next began."""
    mine = [one for one in noted if one[0] in names]
    assert mine == [(name, what) for name in names for what in ("begins", "ends")]


async def test_runs_of_a_sequence_start_one_after_the_other_also_when_a_later_one_is_more_urgent(
    database: str, tmp_path: Path
) -> None:
    batches = Batches()
    pipeline = batches.pipeline()
    async with daemon(steady(database, tmp_path), pipeline) as one, daemon(steady(database, tmp_path), pipeline) as two:
        runs = await accept(one, "1", "2") + await accept(two, "3", priority=9) + await accept(one, "4", priority=5)
        for run in runs:
            assert await reached(one, run) is RunState.SUCCEEDED
    in_order(batches.noted, "1234")


async def test_a_run_that_waits_for_its_next_try_holds_up_those_behind_it_and_no_other_sequence(
    database: str, tmp_path: Path
) -> None:
    batches = Batches()
    batches.transient.add("1")
    async with daemon(steady(database, tmp_path), batches.pipeline()) as one:
        runs = await accept(one, "1", "2")
        others = await accept(one, "x", "y", sequence="b")
        for run in (*others, *runs):
            assert await reached(one, run) is RunState.SUCCEEDED
    assert [one for one in batches.noted if one[0] in "12"] == [
        ("1", "begins"), ("1", "begins"), ("1", "ends"), ("2", "begins"), ("2", "ends"),
    ]  # fmt: skip
    in_order(batches.noted, "xy")


async def test_a_failed_run_holds_its_sequence_until_it_is_resumed_or_abandoned(database: str, tmp_path: Path) -> None:
    batches = Batches()
    batches.permanent |= {"1", "3"}
    async with daemon(steady(database, tmp_path), batches.pipeline()) as one:
        runs = await accept(one, "1", "2", "3", "4")
        assert await reached(one, runs[0]) is RunState.FAILED
        later = await accept(one, "5")
        assert await state(one, later[0]) is RunState.QUEUED
        batches.permanent.remove("1")
        assert await one.writer.submit(Resume(runs[0], "ann")) == [True]
        assert await reached(one, runs[2]) is RunState.FAILED
        assert [await state(one, run) for run in runs] == ["succeeded", "succeeded", "failed", "queued"]
        assert await one.writer.submit(Abandon(runs[2], "ann", "a broken file")) == [True]
        for run in (runs[3], *later):
            assert await reached(one, run) is RunState.SUCCEEDED
    assert batches.begun() == ["1", "2", "3", "4", "5"]


async def test_a_cancelled_run_holds_its_sequence_too_and_may_be_abandoned(database: str, tmp_path: Path) -> None:
    batches = Batches()
    batches.permanent.add("1")
    async with daemon(steady(database, tmp_path), batches.pipeline()) as one:
        runs = await accept(one, "1", "2", "3")
        await reached(one, runs[0])
        assert await one.writer.submit(Cancel(runs[1], "ann")) == [RunState.CANCELLED]
        await one.writer.submit(Abandon(runs[0], "ann", "broken"))
        assert await state(one, runs[2]) is RunState.QUEUED
        assert await one.writer.submit(Abandon(runs[1], "ann", "not wanted")) == [True]
        assert await reached(one, runs[2]) is RunState.SUCCEEDED
        assert await one.writer.submit(Abandon(runs[1], "ann", "again")) == [False]
    assert batches.begun() == ["1", "3"]


async def test_one_that_is_resumed_out_of_turn_waits_for_its_turn(database: str, tmp_path: Path) -> None:
    batches = Batches()
    batches.permanent.add("1")
    async with daemon(steady(database, tmp_path), batches.pipeline()) as one:
        runs = await accept(one, "1", "2", "3")
        await reached(one, runs[0])
        await one.writer.submit(Cancel(runs[1], "ann"))
        await one.writer.submit(Resume(runs[1], "ann"))
        batches.permanent.clear()
        await one.writer.submit(Resume(runs[0], "ann"))
        for run in runs:
            assert await reached(one, run) is RunState.SUCCEEDED
    assert batches.begun() == ["1", "2", "3"]


async def test_what_a_run_waits_behind_is_told_where_people_look(database: str, tmp_path: Path) -> None:
    batches = Batches()
    batches.permanent.add("1")
    batches.endless.add("x")
    given = dataclasses.replace(steady(database, tmp_path, Role.EXECUTOR, Role.API), http=Http(port=0))
    async with daemon(given, batches.pipeline()) as one:
        runs = await accept(one, "1", "2")
        others = await accept(one, "x", "y", sequence="b")
        await reached(one, runs[0])
        shown = await one_run(one, runs[1])
        assert shown.startswith(f"run {runs[0]}, which comes before it in its sequence and has failed: resume or")
        assert await one_run(one, others[1]) == (f"run {others[0]}, which comes before it in its sequence, to succeed")
        [stopping] = await rows(database, sql("stopping"))
        assert tuple(stopping) == ("ordered", "test", [runs[0]])
        batches.endless.clear()


async def one_run(one: Daemon, run: int) -> str:
    """What `tidemill show` says it waits for."""
    from service.db.views import Views

    detail = await Views(one.reads).run(run)
    assert detail is not None
    return str(detail["waits_for"])


async def test_nobody_is_forgotten_while_daemons_accept_and_finish_at_once(database: str, tmp_path: Path) -> None:
    """Each accept meets the end of the run before it at every point of both flushes, sooner or later."""
    batches = Batches()
    pipeline = batches.pipeline()
    async with (
        daemon(steady(database, tmp_path), pipeline) as one,
        daemon(steady(database, tmp_path), pipeline) as two,
        asyncio.TaskGroup() as feeding,
    ):

        async def feed(sequence: str) -> None:
            last = None
            for number in range(40):
                who = random.choice((one, two))
                [last] = await accept(who, f"{sequence}{number}", sequence=sequence)
                if number % 3 == 0:
                    await asyncio.sleep(random.random() / 100)
            assert last is not None
            assert await reached(one, last) is RunState.SUCCEEDED

        for sequence in "abcdef":
            feeding.create_task(feed(sequence))
    for sequence in "abcdef":
        in_order(batches.noted, [f"{sequence}{number}" for number in range(40)])


async def test_a_run_that_holds_up_others_is_not_removed(database: str, tmp_path: Path) -> None:
    batches = Batches()
    async with daemon(steady(database, tmp_path, Role.API), batches.pipeline()) as one:
        runs = await accept(one, "1", "2")
        await one.writer.submit(Cancel(runs[0], "ann"), Cancel(runs[1], "ann"), Abandon(runs[1], "ann", "why"))
        found = await rows(database, sql("removable_runs"), "ordered", 0, 0.0, 0, [], 100, 100)
    assert [row["id"] for row in found] == [runs[1]]
