"""The executor: takes runs that are ready and drives as many at once as this process has places for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

import orjson

from service.catalogue import Catalogue
from service.db.claims import Claim
from service.db.reads import Reads, Rows
from service.db.rows import Row
from service.db.runs import MoveRun, Owned
from service.db.writer import Writer
from service.errors import DatabaseUnavailable, RunLost, ServiceError
from service.inbox import TakenRun
from service.loops.driver import Driver, Job, Refresh
from service.loops.live import LiveRun, live_run, recall
from service.machine import due_in_s
from service.model import RunState, RunView
from stages.errors import StageError
from triggers.event import Event

logger = logging.getLogger("tidemill.executor")

SAFETY_POLL_S = 2.0
RETRY_S = 0.5
# The loop counts in whole milliseconds. What is asked for before it is due has to be asked for again.
LATER_S = 0.001


class Executor:
    """Owns the places, the claims and the tasks. Implements `service.inbox.HandOver`.

    `ended` counts the runs that this process has driven to their end.
    """

    def __init__(self, *, writer: Writer, reads: Reads, catalogue: Catalogue, driver: Driver, places: int) -> None:
        self._writer = writer
        self._reads = reads
        self._catalogue = catalogue
        self._driver = driver
        self._free = places
        self._claiming = False
        # Whether there may be something to claim that no claim has asked for.
        self._owed = False
        self._backlog = False
        self._closing = False
        self.ended = 0
        self._left = False
        self._wake = asyncio.Event()
        self._quiet = asyncio.Event()
        self._runs: dict[int, LiveRun] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._next_wake: asyncio.TimerHandle | None = None
        writer.on_reconnect.append(self.recover_owned)

    @property
    def running(self) -> int:
        """How many runs this process drives."""
        return len(self._runs)

    def wake(self) -> None:
        """Something may be ready: look."""
        self._wake.set()

    def reserve(self, wanted: int) -> int:
        """See `HandOver`. Nothing while this process stops, or while older runs wait to be claimed."""
        if self._tasks is None or self._closing or self._backlog:
            return 0
        granted = max(min(wanted, self._free), 0)
        self._free -= granted
        return granted

    def begin(self, reserved: int, runs: Sequence[TakenRun]) -> None:
        """See `HandOver`. What is committed once this process drives nothing more goes back with all it has."""
        if self._left:
            return
        self._free += reserved - len(runs)
        for taken in runs:
            self._start(self._taken(taken))

    def _taken(self, taken: TakenRun) -> LiveRun:
        pipeline = self._catalogue.pipelines[taken.pipeline]
        run = LiveRun(taken.run_id, 1, pipeline, taken.event, orjson.loads(taken.params), RunView(), taken.depth)
        if pipeline.policy.timeout_s is not None:
            run.view.deadline = self._driver.clock.now() + timedelta(seconds=pipeline.policy.timeout_s)
        return run

    def cancel(self, run_id: int) -> None:
        """Cut a run short, if this process drives it."""
        run = self._runs.get(run_id)
        if run is not None:
            run.cancel()

    def insist(self, run_id: int) -> None:
        """Do not wait for the clean-up of a run, if this process drives it."""
        run = self._runs.get(run_id)
        if run is not None:
            run.insist()

    def poked(self, run_id: int) -> None:
        """Look again at what a run waits for, if this process drives it."""
        run = self._runs.get(run_id)
        if run is not None and run.branches and not run.leaving:
            self._spawn(run, Job(Refresh()))

    async def run(self) -> None:
        """Claim and drive until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await self._keep_claiming()
            finally:
                self._left = True

    async def _keep_claiming(self) -> None:
        while True:
            self._claim()
            try:
                async with asyncio.timeout(SAFETY_POLL_S):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def drain(self) -> None:
        """Take nothing new and wait until what runs has finished or waits."""
        self._closing = True
        if self.running:
            self._quiet.clear()
            await self._quiet.wait()

    def recover_owned(self) -> None:
        """After an outage: drive the runs that the database says are ours and that we do not know of, and look at what
        became of those that we drive.
        """
        if self._tasks is not None and not self._closing:
            self._writer.post(Owned(self._recover))

    def _recover(self, rows: Sequence[Row]) -> None:
        known = self._catalogue.pipelines
        for run in [self._runs[row["id"]] for row in rows if row["cancel"] and row["id"] in self._runs]:
            if not run.view.cancel:
                run.cancel()
        for row in rows:
            self.poked(row["id"])
        self._take([row for row in rows if row["id"] not in self._runs and row["pipeline"] in known])

    def _claim(self) -> None:
        """Ask for as many runs as there are places, unless an answer is still awaited."""
        # A claim under way may have looked before there was what this call is about.
        self._owed = True
        if self._claiming or self._closing or self._free <= 0 or self._writer.outage or not self._catalogue.pipelines:
            return
        self._claiming, self._owed = True, False
        versions = {name: pipeline.version for name, pipeline in self._catalogue.pipelines.items()}
        claim = Claim(versions, self._places, self._claimed, self._catalogue.limits, kept=self._catalogue.kept)
        self._group().create_task(self._await_claim(claim))

    def _places(self) -> int:
        """Hold all places for a claim that is about to be written; a process that stops takes nothing more."""
        places = 0 if self._closing else max(self._free, 0)
        self._free -= places
        return places

    async def _await_claim(self, claim: Claim) -> None:
        try:
            [(_, next_s)] = await self._writer.submit(claim)
        finally:
            self._claiming = False
        if self._backlog or self._owed:
            self._wake.set()
        elif next_s is not None:
            passed_s = 0.0 if claim.looked_at is None else time.monotonic() - claim.looked_at
            self._wake_in(next_s - passed_s)

    def _wake_in(self, seconds: float) -> None:
        if self._next_wake is not None:
            self._next_wake.cancel()
        self._next_wake = asyncio.get_running_loop().call_later(max(seconds, 0.0) + LATER_S, self._wake.set)

    def _claimed(self, limit: int, rows: Sequence[Row], next_s: float | None) -> None:
        """Runs inside the writer, right after the commit: it must not wait."""
        self._free += limit
        # Without places nobody has looked at what waits, which goes before what comes now.
        self._owed = self._owed or not limit
        self._backlog = not limit or (len(rows) == limit and next_s == 0)
        self._take(rows)

    def _take(self, rows: Sequence[Row]) -> None:
        """Drive runs that are this process's now. A process that stops drives nothing more: what its last claim still
        took goes back with all it has.
        """
        if self._left:
            return
        self._free -= len(rows)
        now = self._driver.clock.now()
        runs = [live_run(row, self._catalogue.pipelines[row["pipeline"]], now) for row in rows]
        self._runs.update({run.id: run for run in runs})
        if runs:
            shared = [row["id"] for row in rows if (row["gathered"] or 1) > 1]
            self._group().create_task(self._recall(runs, {row["id"]: row["resume_epoch"] for row in rows}, shared))

    async def _recall(self, runs: Sequence[LiveRun], resume_epochs: Mapping[int, int], shared: Sequence[int]) -> None:
        """Rebuild claimed runs from what earlier owners left, and start them. Those in `shared` have several events."""
        attempts, gates = await self._progress([run.id for run in runs if run.epoch > 1])
        events = await self._joined(shared)
        now = self._driver.clock.now()
        for run in runs:
            if run.epoch > 1:
                recall(run, attempts.get(run.id, ()), gates.get(run.id, ()), resume_epochs[run.id], now)
            if run.id in events:
                run.share(events[run.id])
            self._start(run)

    async def _joined(self, run_ids: Sequence[int]) -> Mapping[int, Sequence[Event]]:
        """The events that joined runs before they started, however long the database takes to answer."""
        while run_ids:
            try:
                return await self._reads.joined(run_ids)
            except DatabaseUnavailable:
                await self._driver.clock.sleep(RETRY_S)
        return {}

    async def _progress(self, run_ids: Sequence[int]) -> tuple[Mapping[int, Rows], Mapping[int, Rows]]:
        """The attempts and gates of runs, however long the database takes to answer."""
        while run_ids:
            try:
                return await self._reads.progress(run_ids)
            except DatabaseUnavailable:
                await self._driver.clock.sleep(RETRY_S)
        return {}, {}

    def _start(self, run: LiveRun) -> None:
        self._runs[run.id] = run
        run.watch(self._driver.clock.now())
        self._spawn(run, None)

    def _spawn(self, run: LiveRun, job: Job | None) -> None:
        run.branches += 1
        self._group().create_task(self._drive(run, job))

    async def _drive(self, run: LiveRun, job: Job | None) -> None:
        """Follow one line of jobs; where the run branches, hand the other branches to tasks of their own."""
        try:
            if job is None and run.epoch > 1:
                await self._until_due(run)
            jobs = await (self._driver.begin(run) if job is None else self._driver.work(run, job))
            while jobs:
                for other in jobs[1:]:
                    self._spawn(run, other)
                jobs = await self._driver.work(run, jobs[0])
        except RunLost as error:
            logger.warning("%s", error)
        except (ServiceError, StageError) as error:
            logger.error("run %s cannot go on: %s", run.id, error)
            failure = {"stage": "", "reason": str(error)}
            self._writer.post(MoveRun(run.id, run.epoch, RunState.FAILED, failure=failure))
        finally:
            run.branches -= 1
            self._let_go(run)

    async def _until_due(self, run: LiveRun) -> None:
        """Wait for what a run waits for, where it was taken a moment ahead of that."""
        left_s = due_in_s(run.plan, run.view, self._driver.clock.now())
        if left_s > 0:
            await self._driver.clock.sleep(left_s + LATER_S)

    def _let_go(self, run: LiveRun) -> None:
        """Give the place back once the last branch has ended. What is over leaves nothing to claim, save to those it
        was a limit for.
        """
        if run.branches:
            return
        run.unwatch()
        if self._runs.get(run.id) is run:
            del self._runs[run.id]
        self._free += 1
        self.ended += run.closed
        if self._owed or not run.closed or run.pipeline.policy.limited:
            self._wake.set()
        if not self._runs:
            self._quiet.set()

    def _group(self) -> asyncio.TaskGroup:
        if self._tasks is None:
            raise RuntimeError("the executor is not running")
        return self._tasks
