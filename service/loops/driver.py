"""Drives one run: does what the machine says, and makes every result durable before anything depends on it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from service import machine
from service.db.aside import SetAside
from service.db.attempts import PutAttempt
from service.db.caused import PutCausing, StartChild
from service.db.reads import Reads
from service.db.replays import PutFenced
from service.db.results import Known, LookUp
from service.db.runs import Blame, MoveRun, PutGate
from service.db.writer import Operation, Writer
from service.errors import DatabaseUnavailable
from service.loops.beginnings import Beginnings
from service.loops.checks import Checks
from service.loops.fanout import FanOut
from service.loops.live import LiveRun, due_in, recall_children, recall_gates
from service.loops.records import Attempt, CutShort, Ending, Reused
from service.loops.subruns import SubRuns
from service.machine import Check, Close, Collect, Gather, Park, Skip, Split, Start, decide
from service.model import AttemptState, Checked, GateState, RunState, parts_of, unit_of
from service.outbox import Outbox
from stages.artifacts import ArtifactRef, ArtifactStore
from stages.call import WHOLE, Call
from stages.ending import RunEnd
from stages.errors import StageError
from stages.outcome import ErrorRecord, Failed, Outcome, Skipped, Succeeded, Waits, record_of
from stages.plan import PlanStage, StageKey
from stages.runners.base import Runner
from triggers import faults
from triggers.base import Clock

logger = logging.getLogger("tidemill.executor")

RETRY_S = 0.5
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refresh:
    """Something a run waits for may have happened while it is being driven: read it again."""


Work = Start | Split | Gather | Collect | Skip | Check | Refresh


@dataclass(slots=True)
class Job:
    """One move that takes work. To start a stage: its `inputs`, the `key` of the result, and the result if `known`."""

    move: Work
    inputs: Mapping[str, ArtifactRef] = field(default_factory=dict)
    key: StageKey | None = None
    known: Known | None = None


LettingGo = Park | Close
OfUnit = Start | Collect
Jobs = Coroutine[Any, Any, list[Job]]


@dataclass(frozen=True, slots=True)
class Driver:
    """Everything a run is driven with; shared by all runs of the process."""

    writer: Writer
    reads: Reads
    clock: Clock
    store: ArtifactStore
    runners: Mapping[str, Runner]
    checks: Checks
    fan_out: FanOut
    sub_runs: SubRuns
    outbox: Outbox
    beginnings: Beginnings
    suspects: asyncio.Semaphore

    def begin(self, run: LiveRun) -> Jobs:
        """What a run that was just taken does first."""
        return self._record(run, [], self.clock.now())

    def work(self, run: LiveRun, job: Job) -> Jobs:
        """Do one job, make its result durable, and return what can be done next. Raises `RunLost`."""
        return self._work_suspected(run, job) if run.view.adoptions else self._work(run, job)

    async def _work_suspected(self, run: LiveRun, job: Job) -> list[Job]:
        """The same for a run whose process died before: no more of these are begun at once than there are places, and
        each is blamed first, so that those which only waited for a place are not taken for poison.
        """
        async with self.suspects:
            await self.writer.submit(Blame(run.id, run.epoch))
            return await self._work(run, job)

    def _work(self, run: LiveRun, job: Job) -> Jobs:
        match job.move:
            case Start():
                return self._start(run, job.move, job)
            case Check():
                return self._check(run, job.move)
            case Split():
                return self._split(run, job.move)
            case Refresh():
                return self._refresh(run)
            case _:
                return self._make_up(run, job.move)

    async def _record(self, run: LiveRun, operations: list[Operation], now: datetime) -> list[Job]:
        """Write results, and with them whatever follows at once: letting go of the run, looking up known results."""
        moves = () if run.leaving else decide(run.plan, run.view, now)
        jobs: list[Job] = []
        for move in moves:
            if isinstance(move, LettingGo):
                run.leaving, run.closed = True, isinstance(move, Close)
                operations += _letting_go(run, move, now)
            else:
                jobs.append(_job(run, move, now))
        wanted = [job.key for job in jobs if job.key is not None and _may_be_known(run, job.move)]
        if wanted:
            operations.append(LookUp(wanted))
        answers = await self.writer.submit(*operations) if operations else []
        for answer in answers:
            if answer is True or (isinstance(answer, tuple) and answer[0] is True):
                run.cancel()
        if wanted or run.view.stale:
            await self._remember(run, jobs, answers[-1] if wanted else {})
        return jobs

    async def _remember(self, run: LiveRun, jobs: Sequence[Job], found: Mapping[StageKey, Known]) -> None:
        """Note which stages need not be run, because their result is known."""
        for job in jobs:
            if isinstance(job.move, Start) and job.key is not None:
                known = _kept(run, job.move, job.key, self.clock) or found.get(job.key)
                if known is not None and not _expired(run, job.move, known) and await self._there(known):
                    job.known = known

    async def _there(self, result: Known) -> bool:
        """Whether a known result can be used; where the store does not answer, the stage is run."""
        try:
            return result.output.inline is not None or await self.store.exists(result.output.digest)
        except StageError:
            return False

    async def _start(self, run: LiveRun, move: Start, job: Job) -> list[Job]:
        attempt = _attempt(run, move, job.key)
        if job.known is not None:
            return await self._end(attempt, Reused(job.known))
        if faults.armed():
            await faults.reach(f"stage.{move.stage}")
        call = self._call(attempt, job.inputs)
        if attempt.stage.runs_through and _in_rows(job.inputs):
            # Nothing else happens in this process meanwhile: nobody could cut it short, or hear that it has begun.
            outcome: Outcome | CutShort = await self.runners[attempt.stage.runner].run(attempt.stage, call)
        else:
            outcome = await self._attended(attempt, call)
        if faults.armed():
            await faults.reach(f"stage.{move.stage}.done")
        return await self._end(attempt, outcome)

    async def _make_up(self, run: LiveRun, move: Gather | Collect | Skip) -> list[Job]:
        """End an attempt that no runner makes."""
        stage = run.plan.stages[move.stage]
        if isinstance(move, Gather):
            return await self._end(_attempt(run, move, run.key_of(stage)), await self.fan_out.gather(run, stage))
        if isinstance(move, Collect):
            key = run.key_of(stage, move.item)
            ending = await self._patiently(partial(self.sub_runs.collect, run, move))
            return await self._end(_attempt(run, move, key), ending)
        return await self._end(_attempt(run, move, None), Skipped(move.reason))

    def _end(self, attempt: Attempt, ending: Ending) -> Jobs:
        """Make the ending of an attempt durable, together with what it causes."""
        now = self.clock.now()
        if isinstance(ending, Waits):
            return self._end_causing(attempt, ending, now)
        if isinstance(ending, Succeeded) and ending.events:
            if not attempt.run.shadow:
                return self._end_causing(attempt, ending, now)
            effects = self.outbox.unsent(ending.events)
            return self._record(attempt.run, [PutFenced(attempt.end(ending, now), effects)], now)
        return self._record(attempt.run, [attempt.end(ending, now)], now)

    async def _end_causing(self, attempt: Attempt, ending: Waits | Succeeded, now: datetime) -> list[Job]:
        """The same where it causes runs: what they are may have to be asked."""
        try:
            operation = await self._causing(attempt, ending, now)
        except StageError as error:
            operation = attempt.end(Failed(record_of(error)), now)
        return await self._record(attempt.run, [operation], now)

    async def _causing(self, attempt: Attempt, ending: Waits | Succeeded, now: datetime) -> Operation:
        if isinstance(ending, Waits):
            accept = await self.outbox.child(attempt.run, attempt.stage, attempt.item, ending.sub_run)
            return StartChild(attempt.end(ending, now), accept)
        emitted = await self.outbox.emitted(ending.events)
        return PutCausing(attempt.end(ending, now), emitted)

    async def _attended(self, attempt: Attempt, call: Call) -> Outcome | CutShort:
        """What the runner says; meanwhile everybody can see that the attempt is under way."""
        self.beginnings.expect(call, attempt)
        try:
            outcome = await self._outcome(attempt, call)
        except asyncio.CancelledError:
            self.beginnings.interrupted(call)
            raise
        self.beginnings.over(call)
        return outcome

    async def _outcome(self, attempt: Attempt, call: Call) -> Outcome | CutShort:
        """What the runner says, unless the attempt is cut short because its run is to end."""
        run, stage = attempt.run, attempt.stage
        try:
            async with run.cuttable(clean_up=_is_hook(run, stage)):
                return await self.runners[stage.runner].run(stage, call)
        except TimeoutError:
            if _is_hook(run, stage):
                return Failed(ErrorRecord("CleanUpStopped", "somebody cancelled the run again while it cleaned up"))
            return CutShort("the run was cancelled" if run.view.cancel else "the run's time was over")

    def _call(self, attempt: Attempt, inputs: Mapping[str, ArtifactRef]) -> Call:
        run, stage, item = attempt.run, attempt.stage, attempt.item
        return Call(
            pipeline=run.pipeline.name,
            stage=stage.name,
            run_id=run.id,
            attempt=attempt.number,
            idempotency_key=run.idempotency_key(attempt.unit),
            event=run.event,
            events=run.events,
            params=run.params,
            inputs=inputs,
            timeout_s=self._timeout_s(attempt),
            item=item,
            depth=run.depth,
            ending=self._run_end(run) if _is_hook(run, stage) else None,
            shadow=run.shadow,
        )

    def _timeout_s(self, attempt: Attempt) -> float | None:
        """What is left of the unit's time: of one attempt's, and of all its attempts' together."""
        timeout_s = attempt.stage.stage.timeout_s
        if attempt.stage.stage.retry.total_s is None:
            return timeout_s
        deadline = machine.stage_deadline(attempt.run.view, attempt.stage, attempt.unit)
        if deadline is None:
            return timeout_s
        left_s = max((deadline - self.clock.now()).total_seconds(), 0.001)
        return left_s if timeout_s is None else min(timeout_s, left_s)

    def _run_end(self, run: LiveRun) -> RunEnd:
        ending = machine.ended(run.plan, run.view, self.clock.now())
        return RunEnd("succeeded") if ending is None else RunEnd(ending.state.value, ending.stage, ending.reason)

    async def _split(self, run: LiveRun, move: Split) -> list[Job]:
        stage = run.plan.stages[move.stage]
        found = await self.fan_out.split(run, stage)
        run.view.under_way.discard(stage.name)
        if not isinstance(found, Failed):
            outdated = [SetAside(run.id, run.epoch, stage.name, found)] if found else []
            return await self._record(run, [*outdated], self.clock.now())
        tried = run.view.tried.get(stage.name)
        start = Start(stage.name, 1 if tried is None else tried.attempt + 1)
        return await self._end(_attempt(run, start, None), found)

    async def _refresh(self, run: LiveRun) -> list[Job]:
        attempts, gates = await self._patiently(partial(self.reads.progress, [run.id]))
        recall_children(run.view, attempts.get(run.id, ()))
        now = self.clock.now()
        recall_gates(run.view, gates.get(run.id, ()), now)
        return await self._record(run, [], now)

    async def _patiently(self, read: Callable[[], Awaitable[T]]) -> T:
        """What a read answers, however long the database takes."""
        while True:
            try:
                return await read()
            except DatabaseUnavailable:
                await self.clock.sleep(RETRY_S)

    async def _check(self, run: LiveRun, move: Check) -> list[Job]:
        try:
            async with run.cuttable():
                gate, artifact, found = await self.checks.check(run, move.gate)
        except TimeoutError:
            run.view.checking.discard(move.gate)
            return await self._record(run, [], self.clock.now())
        run.view.checking.discard(move.gate)
        now = self.clock.now()
        until = due_in(found.expires_s, now)
        run.view.gates[move.gate] = Checked(found.state, artifact.digest, found.reason, until)
        row = PutGate(
            run_id=run.id,
            pipeline=run.pipeline.name,
            epoch=run.epoch,
            gate=gate.name,
            source=gate.src,
            target=gate.dst,
            state=found.state,
            reason=found.reason,
            evidence=found.evidence,
            subject=artifact.digest,
            decided_by=gate.gate.name,
            expires_s=found.expires_s,
            report=found.report,
        )
        jobs = await self._record(run, [row], now)
        if found.state is GateState.WAITING:
            command = f"tidemill approve {run.id} {gate.name} --by NAME"
            logger.info("%s run %s waits at gate %s: %s", run.pipeline.name, run.id, gate.name, command)
        return jobs


def _in_rows(inputs: Mapping[str, ArtifactRef]) -> bool:
    for one in inputs.values():  # noqa: SIM110  # a generator costs as much as a short stage
        if one.inline is None:
            return False
    return True


def _is_hook(run: LiveRun, stage: PlanStage) -> bool:
    return bool(run.plan.hooks) and any(hook is stage for hook in run.plan.hooks.values())


def _collecting(stage: str, item: int, attempt: int) -> Collect:
    return Collect(stage, attempt, item)


def _attempt(run: LiveRun, move: Start | Gather | Collect | Skip, key: StageKey | None) -> Attempt:
    item = move.item if isinstance(move, OfUnit) else WHOLE
    unit = unit_of(move.stage, item)
    return Attempt(run, run.plan.stages[move.stage], move.attempt, item, unit, key, time.monotonic())


def _may_be_known(run: LiveRun, move: Work) -> bool:
    """Whether another run's result may be taken for this unit."""
    return (
        isinstance(move, Start)
        and run.reuses
        and run.plan.stages[move.stage].reusable
        and unit_of(move.stage, move.item) not in run.view.anew
    )


def _kept(run: LiveRun, move: Start, key: StageKey, clock: Clock) -> Known | None:
    """The unit's own result that was set aside, if it turns out to be what would be made now."""
    unit = unit_of(move.stage, move.item)
    stale = run.view.stale.get(unit)
    fit = stale is not None and stale.key == key and run.plan.stages[move.stage].stage.reuse != "never"
    if stale is None or not fit or unit in run.view.anew or stale.output is None or stale.finished_at is None:
        return None
    age_s = (clock.now() - stale.finished_at).total_seconds()
    return Known(run.id, stale.output, stale.metrics, stale.finished_at, age_s)


def _expired(run: LiveRun, move: Start, known: Known) -> bool:
    expires_s = run.plan.stages[move.stage].stage.expires_s
    return expires_s is not None and known.age_s > expires_s


def _job(run: LiveRun, move: Work, now: datetime) -> Job:
    """The work of a move. The run remembers that it is being made, so that it is not made twice."""
    match move:
        case Start():
            stage = run.plan.stages[move.stage]
            inputs = run.inputs_of(stage, move.item)
            key = run.key_from(stage, inputs)
            run.view.begin(move.stage, move.item, move.attempt, now)
            return Job(move, inputs, key)
        case Check():
            run.view.checking.add(move.gate)
        case Collect():
            run.view.take(move.stage, move.item)
        case Split() | Gather() | Skip():
            run.view.under_way.add(move.stage)
    return Job(move)


def _letting_go(run: LiveRun, move: Park | Close, now: datetime) -> list[Operation]:
    """The writes that end this process's hold on the run."""
    if isinstance(move, Park):
        wait_s = None if move.until is None else max((move.until - now).total_seconds(), 0.0)
        return [MoveRun(run.id, run.epoch, RunState.WAITING, ready_in_s=wait_s)]
    failure = None if move.state is RunState.SUCCEEDED else {"stage": move.stage, "reason": move.reason}
    return [*_no_longer_waiting(run, now), MoveRun(run.id, run.epoch, move.state, failure=failure)]


def _no_longer_waiting(run: LiveRun, now: datetime) -> list[PutAttempt]:
    """A run that is over waits for no sub-run."""
    waiting = [(unit, tried.attempt) for unit, tried in run.view.tried.items() if tried.state is AttemptState.WAITING]
    moves = [_collecting(*parts_of(unit), attempt) for unit, attempt in waiting]
    return [_attempt(run, move, None).end(CutShort("the run is over"), now) for move in moves]
