"""Daemons that crash, sleep, disagree about the time and are told everything twice: explored by Hypothesis."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service.db.steering import Cancel, Resume
from service.model import RunState
from stages import Event, Pipeline, Retry, RunEnd, SubRun, stage
from stages.gates import approved
from tests.conftest import BackgroundLoop
from tests.db.world import FINISHED, World

quick = Retry(max_attempts=3, initial_s=0.01)
DAEMONS = 3
MOST_STEPS = 400


@stage(retry=quick)
async def listed(event: Event) -> list[int]:
    return list(range(event.data))


@stage(map="listed", at_once=2, retry=quick)
async def each(listed: int) -> int:
    return listed * 2


@stage(retry=quick, when=lambda each: len(each) > 1)
async def rarely(each: list[int]) -> int:
    return sum(each)


@stage(retry=quick)
async def asks(each: list[int]) -> SubRun:
    return SubRun("small", data=len(each), output="one")


@stage(reuse="run", retry=quick)
async def last(rarely: int | None, asks: int, event: Event) -> list[int | None]:
    return [rarely, asks]


@stage(retry=quick)
async def mend(end: RunEnd) -> str:
    return end.reason


@stage(retry=quick)
async def tidy(end: RunEnd) -> str:
    return end.state


@stage(retry=quick)
async def one(event: Event) -> int:
    return int(event.data["data"])


big = Pipeline(
    "big",
    [listed, each, rarely, asks, last],
    gates={("each", "asks"): approved()},
    on_failure=mend,
    finally_=tidy,
)
small = Pipeline("small", [one])

who = st.integers(0, DAEMONS - 1)
which = st.integers(0, 7)
how = st.sampled_from(["ok", "ok", "ok", "transient", "permanent", "lost"])


class Mill(RuleBasedStateMachine):
    """What may happen to an installation, in any order."""

    database: ClassVar[Callable[[], str]]
    loop: ClassVar[BackgroundLoop]
    zombies: ClassVar[int] = 0

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run(work)

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tidemill-mill-"))
        self.world = World(type(self).database(), self.folder, big, small)
        self.run(self._open())

    async def _open(self) -> None:
        """Two runs at the first stages, on two daemons: short examples would hardly get there."""
        await self.world.open(DAEMONS)
        for number, size in enumerate((2, 3)):
            await self.world.deliver(number, "big", str(number), size)
            await self.world.claim(number)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.run(self._settle())
            self.run(self.world.close())
            type(self).zombies += self.world.zombies
            shutil.rmtree(self.folder)

    @rule(who=who, number=st.integers(0, 3), size=st.integers(0, 3))
    def deliver(self, who: int, number: int, size: int) -> None:
        self.run(self.world.deliver(who, "big", str(number), size))

    @rule(who=who)
    def claim(self, who: int) -> None:
        self.run(self.world.claim(who))

    @rule(who=who, steps=st.lists(st.tuples(which, how), min_size=1, max_size=6))
    def work(self, who: int, steps: list[tuple[int, str]]) -> None:
        for which, how in steps:
            self.run(self.world.step(who, which, how))

    @rule(who=who, which=which, how=how)
    def step_while_its_lease_lapses(self, who: int, which: int, how: str) -> None:
        async def others_take_over() -> None:
            await self.world.sleep_through_its_lease(who)
            await self.world.time_passes()
            await self.world.claim((who + 1) % DAEMONS)

        self.run(self.world.step(who, which, how, others_take_over))

    @rule(who=who, which=which)
    def refresh(self, who: int, which: int) -> None:
        self.run(self.world.refresh(who, which))

    @rule(who=who, which=st.none() | which)
    def crash(self, who: int, which: int | None) -> None:
        self.run(self.world.crash(who, which))
        self.run(self.world.adopt((who + 1) % DAEMONS))

    @rule(who=who)
    def sleep_through_its_lease(self, who: int) -> None:
        self.run(self.world.sleep_through_its_lease(who))

    @rule(hours=st.floats(-48, 48))
    def clocks_jump(self, hours: float) -> None:
        self.world.clock.ahead = timedelta(hours=hours)

    @rule()
    def time_passes(self) -> None:
        self.run(self.world.time_passes())

    @rule(who=who, decision=st.sampled_from(["approved", "approved", "rejected"]))
    def decide(self, who: int, decision: str) -> None:
        self.run(self._decide(who, decision))

    @precondition(lambda self: self.world.runs)
    @rule(who=who, which=which)
    def cancel(self, who: int, which: int) -> None:
        run_id = sorted(self.world.runs)[which % len(self.world.runs)]
        self.run(self._cancel(who, run_id))

    async def _cancel(self, who: int, run_id: int) -> None:
        await self.world.daemons[who].writer.submit(Cancel(run_id, "somebody"))

    @rule(who=who, which=which, since=st.sampled_from([(), ("each",), ("listed", "each", "rarely", "asks", "last")]))
    def resume(self, who: int, which: int, since: tuple[str, ...]) -> None:
        self.run(self._resume(who, which, since))

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        if hasattr(self, "world"):
            self.run(self.world.check())

    async def _decide(self, who: int, decision: str) -> None:
        from service.db.votes import DecideGate

        waiting = await self.world.connection.fetch("select run_id, gate from gates where state = 'waiting'")
        for row in waiting[:1]:
            vote = DecideGate(row["run_id"], "big", row["gate"], decision, "kim")  # type: ignore[arg-type]
            await self.world.daemons[who].writer.submit(vote)

    async def _resume(self, who: int, which: int, since: tuple[str, ...]) -> None:
        over = await self.world.connection.fetch(
            "select id from runs where state in ('failed', 'cancelled') order by id"
        )
        if over:
            await self.world.daemons[who].writer.submit(Resume(over[which % len(over)]["id"], "kim", forced=since))

    async def _settle(self) -> None:
        """When trouble is over, every run comes to an end that is explained, on whichever daemon is left."""
        world = self.world
        for daemon in (1, 2):
            await world.crash(daemon)
        await world.adopt(0)
        for _ in range(MOST_STEPS):
            await world.time_passes()
            await self._decide(0, "approved")
            await world.claim(0)
            while any(jobs for _, jobs in world.daemons[0].holding.values()):
                await world.step(0, 0)
            rows = await world.connection.fetch("select state from runs")
            if all(RunState(row["state"]) in FINISHED for row in rows):
                break
        await world.check()
        rows = await world.connection.fetch("select * from runs")
        assert [dict(row) for row in rows if RunState(row["state"]) not in FINISHED] == []
        told = await world.connection.fetch(
            "select event_key, pipeline, count(*) from runs group by 1, 2 having count(*) > 1"
        )
        assert told == []
        await self._check_successes()

    async def _check_successes(self) -> None:
        """A run that succeeded has a result of every stage, and a result was made or skipped by nobody else's word."""
        missing = await self.world.connection.fetch(
            """
            select r.id, s.stage from runs r,
                unnest(case r.pipeline when 'big' then $1::text[] else array['one'] end) as s (stage)
            where r.state = 'succeeded' and not exists (
                select from attempts a where a.run_id = r.id and a.stage = s.stage and a.item = -1 and a.void is null
                    and a.state in ('succeeded', 'reused', 'skipped')
            )
            """,
            [stage.name for stage in big.stages],
        )
        assert missing == []


@pytest.fixture
def databases(session_loop: BackgroundLoop, postgres: str, migrated_template: str) -> Iterator[Callable[[], str]]:
    """A fresh database for each example."""
    from tests.conftest import _dsn_of, _execute, _numbers

    made: list[str] = []

    def make() -> str:
        name = f"mill_{next(_numbers)}"
        made.append(name)
        session_loop.run(_execute(postgres, f"create database {name} template {migrated_template} strategy wal_log"))
        return _dsn_of(postgres, name)

    yield make
    for name in made:
        session_loop.run(_execute(postgres, f"drop database {name} with (force)"))


@pytest.mark.timeout(1800)
def test_no_illegal_move_no_lost_or_doubled_effect_every_end_explained(
    databases: Callable[[], str], session_loop: BackgroundLoop
) -> None:
    class Here(Mill):
        database = staticmethod(databases)
        loop = session_loop

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Here,
        settings=settings(
            max_examples=int(os.environ.get("TIDEMILL_TEST_EXAMPLES", "30")),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize="TIDEMILL_TEST_EXAMPLES" not in os.environ,
        ),
    )
    assert Here.zombies > 5, "too few daemons woke up after others had taken their runs"
