"""A few daemons in one process that move one step at a time, and what must hold whatever they do.

Each is the real driver, writer and statements on a real database; only the tasks that would drive them are left out, so
that a test says who moves next, who dies, and who sleeps through its lease.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg

from service.catalogue import Catalogue
from service.db.claims import Claim
from service.db.daemons import Adopt, Registration
from service.db.reads import Reads
from service.db.registry import PostgresRegistry
from service.db.writer import Writer
from service.errors import RunLost
from service.inbox import NoHandOver, PostgresInbox
from service.loops.beginnings import Beginnings
from service.loops.checks import Checks
from service.loops.driver import Driver, Job, Refresh
from service.loops.fanout import FanOut
from service.loops.live import LiveRun, live_run, recall
from service.loops.subruns import SubRuns
from service.model import ATTEMPT_MOVES, RUN_MOVES, AttemptState, RunState
from service.outbox import Outbox
from stages.artifacts import ArtifactStore
from stages.call import Call
from stages.invoke import invoke
from stages.outcome import ErrorRecord, Failed, Lost, Outcome
from stages.pipeline import Pipeline
from stages.plan import PlanStage
from stages.stores import open_store
from tests.db.daemons import event
from triggers.base import Arrival, Offer

FINISHED = {RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED}


class Crashed(BaseException):
    """The process is gone, wherever it was."""


@dataclass
class WorldClock:
    """The clock of all daemons, as wrong as a test wants it."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        """See `Clock`."""
        return datetime.now(UTC) + self.ahead

    async def sleep(self, seconds: float) -> None:
        """Nobody waits here."""


@dataclass
class Effects:
    """What stages did outside, apart from the database under test: by idempotency key, which attempts did it."""

    done: Counter[tuple[int, str]] = field(default_factory=Counter)
    keys: dict[tuple[int, str, int], set[str]] = field(default_factory=dict)

    def note(self, call: Call) -> None:
        """An attempt did its work."""
        self.done[call.run_id, call.idempotency_key] += 1
        self.keys.setdefault((call.run_id, call.stage, call.item), set()).add(call.idempotency_key)


class Puppet:
    """A runner whose attempts end as the test says: `next` is `ok`, `transient`, `permanent`, `lost`, or `crash`.

    `during` is called while the attempt is under way: the moment for other daemons to take the run over.
    """

    def __init__(self, store: ArtifactStore, effects: Effects, beginnings: Beginnings) -> None:
        self._store = store
        self._beginnings = beginnings
        self._effects = effects
        self.next = "ok"
        self.during: Any = None

    async def run(self, stage: PlanStage, call: Call) -> Outcome:
        """See `Runner`."""
        self._beginnings.began(call)
        self._effects.note(call)
        if self.during is not None:
            happens, self.during = self.during, None
            await happens()
        how, self.next = self.next, "ok"
        if how == "crash":
            raise Crashed
        if how == "lost":
            return Lost("killed")
        if how in ("transient", "permanent"):
            return Failed(ErrorRecord("Trouble", how, transient=how == "transient"))
        return await invoke(stage, call, self._store)

    async def close(self) -> None:
        """See `Runner`."""


@dataclass(eq=False)
class Puppeteer:
    """One daemon: its writer, its driver, and the runs it holds, each with the jobs it could do next."""

    writer: Writer
    driver: Driver
    inbox: PostgresInbox
    puppet: Puppet
    flushing: asyncio.Task[None]
    holding: dict[int, tuple[LiveRun, list[Job]]] = field(default_factory=dict)

    def drop(self) -> None:
        """As `kill -9`: nothing is given back."""
        self.flushing.cancel()


class World:
    """The daemons, the database they share, and a snapshot of it to compare the next state with."""

    def __init__(self, dsn: str, folder: Path, *pipelines: Pipeline) -> None:
        self.dsn = dsn
        self.clock = WorldClock()
        self.effects = Effects()
        self.catalogue = Catalogue({one.name: one for one in pipelines}, {one.name: one.name for one in pipelines})
        self.store = open_store((folder / "artifacts").as_uri())
        self.daemons: list[Puppeteer] = []
        self.runs: dict[int, asyncpg.Record] = {}
        self.attempts: dict[tuple[Any, ...], asyncpg.Record] = {}
        self.finished_outputs: dict[tuple[Any, ...], str] = {}
        self.zombies = 0

    async def open(self, daemons: int) -> None:
        """Start so many daemons."""
        self.connection = await asyncpg.connect(self.dsn)
        self.reads = Reads(self.dsn, size=2)
        await self.reads.open()
        for _ in range(daemons):
            self.daemons.append(await self._daemon())

    async def close(self) -> None:
        """Stop them all."""
        for one in self.daemons:
            one.drop()
        await asyncio.gather(*(one.flushing for one in self.daemons), return_exceptions=True)
        await self.reads.close()
        await self.connection.close()

    async def _daemon(self) -> Puppeteer:
        writer = Writer(self.dsn, register=Registration(["executor"], 3600.0), lease_s=3600.0)
        await writer.open()
        outbox = Outbox(self.catalogue)
        beginnings = Beginnings(asyncio.get_running_loop(), writer)
        puppet = Puppet(self.store, self.effects, beginnings)
        inbox = PostgresInbox(writer, self.reads, self.catalogue, NoHandOver())
        outbox.opens_into(inbox)
        driver = Driver(
            writer=writer,
            reads=self.reads,
            clock=self.clock,
            store=self.store,
            runners={"inline": puppet},
            checks=Checks(self.store, self.clock, writer, PostgresRegistry(writer, self.reads)),
            fan_out=FanOut(self.store),
            sub_runs=SubRuns(self.reads, self.store),
            outbox=outbox,
            beginnings=beginnings,
            suspects=asyncio.Semaphore(8),
        )
        flushing = asyncio.get_running_loop().create_task(writer.run())
        return Puppeteer(writer, driver, inbox, puppet, flushing)

    async def deliver(self, who: int, pipeline: str, event_id: str, data: Any) -> None:
        """An event arrives, perhaps again."""
        await self.daemons[who].inbox.accept([Arrival(event(event_id, data), [Offer(pipeline, "test")])])

    async def claim(self, who: int) -> None:
        """Take every run that is ready, and see what each could do next."""
        one, found = self.daemons[who], list[asyncpg.Record]()
        versions = {name: pipeline.version for name, pipeline in self.catalogue.pipelines.items()}
        await one.writer.submit(Claim(versions, lambda: 100, lambda limit, rows, next_s: found.extend(rows)))
        for row in found:
            run = live_run(row, self.catalogue.pipelines[row["pipeline"]], self.clock.now())
            attempts, gates = await self.reads.progress([run.id])
            recall(run, attempts.get(run.id, ()), gates.get(run.id, ()), row["resume_epoch"], self.clock.now())
            await self._go_on(one, run, [], one.driver.begin(run))

    async def step(self, who: int, which: int, how: str = "ok", during: Any = None) -> None:
        """Do one job of one run that the daemon holds; `which` chooses among them."""
        one = self.daemons[who]
        jobs = [(run, job) for run, open_ in one.holding.values() for job in open_]
        if not jobs:
            return
        run, job = jobs[which % len(jobs)]
        _, left = one.holding[run.id]
        left.remove(job)
        seen: list[Any] = []

        async def watched() -> None:
            await during()
            seen.extend(await self._rows_of(run.id))

        one.puppet.next, one.puppet.during = how, None if during is None else watched
        await self._go_on(one, run, left, one.driver.work(run, job))
        one.puppet.next, one.puppet.during = "ok", None
        if seen and seen[0]["epoch"] != run.epoch:
            self.zombies += 1
            assert await self._rows_of(run.id) == seen, "a daemon that had lost its run wrote to it"

    async def _rows_of(self, run_id: int) -> list[Any]:
        attempts = "select * from attempts where run_id = $1 order by stage, item, attempt"
        return [
            *await self.connection.fetch("select * from runs where id = $1", run_id),
            *await self.connection.fetch(attempts, run_id),
            *await self.connection.fetch("select * from gates where run_id = $1 order by gate", run_id),
        ]

    async def _go_on(self, one: Puppeteer, run: LiveRun, left: list[Job], working: Any) -> None:
        try:
            jobs = [*left, *await working]
        except RunLost:
            one.holding.pop(run.id, None)
            return
        if run.leaving and not jobs:
            one.holding.pop(run.id, None)
        else:
            one.holding[run.id] = (run, jobs)

    async def refresh(self, who: int, which: int) -> None:
        """Tell a daemon that something may have happened to one of its runs."""
        one = self.daemons[who]
        held = [run for run, jobs in one.holding.values() if jobs and not run.leaving]
        if held:
            run = held[which % len(held)]
            await self._go_on(one, run, one.holding[run.id][1], one.driver.work(run, Job(Refresh())))

    async def crash(self, who: int, which: int | None = None) -> None:
        """A daemon dies, in the middle of an attempt where `which` says in which; a new one takes its place."""
        if which is not None:
            with contextlib.suppress(Crashed):
                await self.step(who, which, "crash")
        gone = self.daemons[who]
        gone.drop()
        await asyncio.gather(gone.flushing, return_exceptions=True)
        await self.lapse(gone.writer.daemon)
        self.daemons[who] = await self._daemon()

    async def sleep_through_its_lease(self, who: int) -> None:
        """A daemon is paused for longer than its lease, and others adopt what it holds. It knows nothing of that."""
        await self.lapse(self.daemons[who].writer.daemon)
        await self.adopt((who + 1) % len(self.daemons))

    async def lapse(self, daemon: int) -> None:
        """Make a daemon's last sign of life very old."""
        await self.connection.execute(
            "update daemons set renewed_at = now() - interval '2 hours' where id = $1 and state = 'alive'", daemon
        )

    async def adopt(self, who: int) -> None:
        """Take over from the dead."""
        await self.daemons[who].writer.submit(Adopt())

    async def time_passes(self) -> None:
        """Everything that waits for its time is due."""
        await self.connection.execute("update runs set ready_at = now() where ready_at > now()")
        await self.connection.execute("update attempts set retry_at = now() where retry_at > now()")

    async def check(self) -> None:
        """Compare the database with what it held before: every move legal, nothing lost, nothing doubled."""
        runs = {row["id"]: row for row in await self.connection.fetch("select * from runs")}
        attempts = {
            (row["run_id"], row["stage"], row["item"], row["attempt"]): row
            for row in await self.connection.fetch("select * from attempts")
        }
        assert self.runs.keys() <= runs.keys(), "a run is gone"
        assert self.attempts.keys() <= attempts.keys(), "an attempt is gone"
        for run_id, row in runs.items():
            self._check_run(self.runs.get(run_id), row)
        for place, row in attempts.items():
            self._check_attempt(place, self.attempts.get(place), row)
        self._check_results(attempts)
        self.runs, self.attempts = runs, attempts

    def _check_run(self, before: asyncpg.Record | None, row: asyncpg.Record) -> None:
        state = RunState(row["state"])
        if before is not None:
            assert reachable(RunState(before["state"]), state, RUN_MOVES), (before["state"], state)
            assert row["epoch"] >= before["epoch"], "an epoch went back"
        if state is RunState.FAILED:
            assert row["failure"], "a failed run does not say why"
        if state is RunState.CANCELLED:
            assert row["cancel_requested_at"], "a cancelled run was never asked to stop"

    def _check_attempt(self, place: tuple[Any, ...], before: asyncpg.Record | None, row: asyncpg.Record) -> None:
        state = AttemptState(row["state"])
        if before is not None:
            assert reachable(AttemptState(before["state"]), state, ATTEMPT_MOVES), (place, before["state"], state)
            assert before["void"] is None or row["void"] == before["void"]
        if state in (AttemptState.SUCCEEDED, AttemptState.REUSED):
            known = self.finished_outputs.setdefault(place, row["output_digest"])
            assert row["output_digest"] == known, f"{place} was overwritten"

    def _check_results(self, attempts: dict[tuple[Any, ...], asyncpg.Record]) -> None:
        """One result for each unit at most, and none that nobody made."""
        counted: Counter[tuple[Any, ...]] = Counter()
        for (run_id, stage, item, _), row in attempts.items():
            if row["state"] in ("succeeded", "reused", "skipped") and row["void"] is None:
                counted[run_id, stage, item, row["epoch"] > self.hook_epoch(run_id, stage)] += 1
        doubled = [place for place, count in counted.items() if count > 1]
        assert not doubled, f"more than one result: {doubled}"
        for (run_id, stage, item), keys in self.effects.keys.items():
            assert len(keys) == 1, f"run {run_id} {stage} {item} had several idempotency keys"

    def hook_epoch(self, run_id: int, stage: str) -> int:
        """A clean-up may have a result for each ending; a stage of the graph has one."""
        row = self.runs.get(run_id)
        hooks = {"tidy", "mend"}
        return row["resume_epoch"] if row is not None and stage in hooks else -1


def reachable(before: Any, after: Any, moves: Any) -> bool:
    """Whether a chain of legal moves leads from one state to another."""
    seen, todo = {before}, [before]
    while todo:
        for state in moves[todo.pop()]:
            if state not in seen:
                seen.add(state)
                todo.append(state)
    return after in seen
