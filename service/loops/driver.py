"""Drives one run: does what the machine says, and makes every result durable before anything depends on it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from uuid import UUID

from service import faults, machine
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
from service.loops.records import Attempt, CutShort, Ending, Reused, is_reusable
from service.loops.subruns import SubRuns
from service.machine import Check, Close, Collect, Gather, Move, Park, Skip, Split, Start, decide
from service.model import AttemptState, Checked, GateState, RunState, parts_of, unit_of
from service.outbox import Outbox
from stages.artifacts import ArtifactStore
from stages.call import Call
from stages.ending import RunEnd
from stages.errors import StageError
from stages.outcome import ErrorRecord, Failed, Outcome, Skipped, Succeeded, Waits, record_of
from stages.plan import PlanStage
from stages.runners.base import Runner
from triggers.base import Clock

logger = logging.getLogger("tidemill.executor")

RETRY_S = 0.5
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refresh:
    """Something a run waits for may have happened while it is being driven: read it again."""


Work = Start | Split | Gather | Collect | Skip | Check | Refresh


@dataclass(frozen=True, slots=True)
class Job:
    """One move that takes work. `key` and `known`: under which key the stage's result is kept, and the result."""

    move: Work
    key: UUID | None = None
    known: Known | None = None


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

    async def begin(self, run: LiveRun) -> list[Job]:
        """What a run that was just taken does first."""
        return await self._record(run, [])

    async def work(self, run: LiveRun, job: Job) -> list[Job]:
        """Do one job, make its result durable, and return what can be done next. Raises `RunLost`.

        A run whose process died before is suspected: no more of these are begun at once than there are places, and each
        is blamed first, so that those which only waited for a place are not taken for poison.
        """
        if not run.view.adoptions:
            return await self._work(run, job)
        async with self.suspects:
            await self.writer.submit(Blame(run.id, run.epoch))
            return await self._work(run, job)

    async def _work(self, run: LiveRun, job: Job) -> list[Job]:
        match job.move:
            case Check():
                return await self._check(run, job.move)
            case Split():
                return await self._split(run, job.move)
            case Refresh():
                return await self._refresh(run)
            case Start():
                return await self._start(run, job.move, job.key, job.known)
            case _:
                return await self._make_up(run, job.move)

    async def _record(self, run: LiveRun, results: Sequence[Operation]) -> list[Job]:
        """Write results, and with them whatever follows at once: letting go of the run, looking up known results."""
        now = self.clock.now()
        moves = () if run.leaving else decide(run.plan, run.view, now)
        keys = {move: run.key_of(run.plan.stages[move.stage], move.item) for move in moves if isinstance(move, Start)}
        operations = [*results]
        letting_go = _letting_go(run, moves, self.clock)
        if letting_go is not None:
            run.leaving = True
            operations += [*self._stop_waiting(run, letting_go.state), letting_go]
        wanted = [key for move, key in keys.items() if _may_be_known(run, move)]
        if wanted:
            operations.append(LookUp(wanted))
        for move in moves:
            _mark(run, move, self.clock)
        answers = await self.writer.submit(*operations) if operations else []
        if any(answer is True or (isinstance(answer, tuple) and answer[0] is True) for answer in answers):
            run.cancel()
        known: Mapping[UUID, Known] = answers[-1] if wanted else {}
        return [await self._job(run, move, keys, known) for move in moves if not isinstance(move, Park | Close)]

    def _stop_waiting(self, run: LiveRun, state: RunState) -> list[PutAttempt]:
        """A run that is over waits for no sub-run."""
        if state is RunState.WAITING:
            return []
        now, over = self.clock.now(), CutShort("the run is over")
        waiting = {unit: tried for unit, tried in run.view.tried.items() if tried.state is AttemptState.WAITING}
        moves = [_collecting(*parts_of(unit), tried.attempt) for unit, tried in waiting.items()]
        return [self._attempt(run, move, None).end(over, now) for move in moves]

    async def _job(self, run: LiveRun, move: Work, keys: Mapping[Start, UUID], known: Mapping[UUID, Known]) -> Job:
        if not isinstance(move, Start):
            return Job(move)
        key = keys[move]
        result = _kept(run, move, key, self.clock) or known.get(key)
        if result is not None and (_expired(run, move, result) or not await self._there(result)):
            result = None
        return Job(move, key, result)

    async def _there(self, result: Known) -> bool:
        """Whether a known result can be used; where the store does not answer, the stage is run."""
        try:
            return result.output.inline is not None or await self.store.exists(result.output.digest)
        except StageError:
            return False

    async def _start(self, run: LiveRun, move: Start, key: UUID | None, known: Known | None) -> list[Job]:
        attempt = self._attempt(run, move, key)
        if known is not None:
            return await self._end(attempt, Reused(known))
        if faults.armed():
            await faults.reach(f"stage.{move.stage}")
        call = self._call(attempt)
        self.beginnings.expect(call, attempt)
        try:
            outcome = await self._outcome(attempt, call)
        except asyncio.CancelledError:
            self.beginnings.interrupted(call)
            raise
        self.beginnings.over(call)
        if faults.armed():
            await faults.reach(f"stage.{move.stage}.done")
        return await self._end(attempt, outcome)

    async def _make_up(self, run: LiveRun, move: Gather | Collect | Skip) -> list[Job]:
        """End an attempt that no runner makes."""
        stage = run.plan.stages[move.stage]
        if isinstance(move, Gather):
            return await self._end(self._attempt(run, move, run.key_of(stage)), await self.fan_out.gather(run, stage))
        if isinstance(move, Collect):
            key = run.key_of(stage, move.item)
            ending = await self._patiently(partial(self.sub_runs.collect, run, move))
            return await self._end(self._attempt(run, move, key), ending)
        return await self._end(self._attempt(run, move, None), Skipped(move.reason))

    def _attempt(self, run: LiveRun, move: Start | Gather | Collect | Skip, key: UUID | None) -> Attempt:
        return Attempt(run=run, stage=run.plan.stages[move.stage], move=move, key=key, started=time.monotonic())

    async def _end(self, attempt: Attempt, ending: Ending) -> list[Job]:
        """Make the ending of an attempt durable, together with what it causes."""
        try:
            operation = self._operation(attempt, ending)
        except StageError as error:
            operation = attempt.end(Failed(record_of(error)), self.clock.now())
        return await self._record(attempt.run, [operation])

    def _operation(self, attempt: Attempt, ending: Ending) -> Operation:
        if isinstance(ending, Waits):
            accept = self.outbox.child(attempt.run, attempt.stage, attempt.item, ending.sub_run)
            return StartChild(attempt.end(ending, self.clock.now()), accept)
        if isinstance(ending, Succeeded) and ending.events and attempt.run.shadow:
            return PutFenced(attempt.end(ending, self.clock.now()), ending.events)
        if isinstance(ending, Succeeded) and ending.events:
            emitted = self.outbox.emitted(ending.events)
            return PutCausing(attempt.end(ending, self.clock.now()), emitted)
        return attempt.end(ending, self.clock.now())

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

    def _call(self, attempt: Attempt) -> Call:
        run, stage, item = attempt.run, attempt.stage, attempt.item
        return Call(
            pipeline=run.pipeline.name,
            stage=stage.name,
            run_id=run.id,
            attempt=attempt.move.attempt,
            idempotency_key=run.idempotency_key(attempt.unit),
            event=run.event,
            events=run.events,
            params=run.params,
            inputs=run.inputs_of(stage, item),
            timeout_s=self._timeout_s(attempt),
            item=item,
            depth=run.depth,
            ending=self._run_end(run) if _is_hook(run, stage) else None,
            shadow=run.shadow,
        )

    def _timeout_s(self, attempt: Attempt) -> float | None:
        """What is left of the unit's time: of one attempt's, and of all its attempts' together."""
        deadline = machine.stage_deadline(attempt.run.view, attempt.stage, attempt.unit)
        left_s = None if deadline is None else max((deadline - self.clock.now()).total_seconds(), 0.001)
        return min((one for one in (attempt.stage.stage.timeout_s, left_s) if one is not None), default=None)

    def _run_end(self, run: LiveRun) -> RunEnd:
        ending = machine.ended(run.plan, run.view, self.clock.now())
        return RunEnd("succeeded") if ending is None else RunEnd(ending.state.value, ending.stage, ending.reason)

    async def _split(self, run: LiveRun, move: Split) -> list[Job]:
        stage = run.plan.stages[move.stage]
        found = await self.fan_out.split(run, stage)
        run.view.under_way.discard(stage.name)
        if not isinstance(found, Failed):
            return await self._record(run, [SetAside(run.id, run.epoch, stage.name, found)] if found else [])
        tried = run.view.tried.get(stage.name)
        start = Start(stage.name, 1 if tried is None else tried.attempt + 1)
        return await self._end(self._attempt(run, start, None), found)

    async def _refresh(self, run: LiveRun) -> list[Job]:
        attempts, gates = await self._patiently(partial(self.reads.progress, [run.id]))
        recall_children(run.view, attempts.get(run.id, ()))
        recall_gates(run.view, gates.get(run.id, ()), self.clock.now())
        return await self._record(run, [])

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
            return await self._record(run, [])
        run.view.checking.discard(move.gate)
        until = due_in(found.expires_s, self.clock.now())
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
        jobs = await self._record(run, [row])
        if found.state is GateState.WAITING:
            command = f"tidemill approve {run.id} {gate.name} --by NAME"
            logger.info("%s run %s waits at gate %s: %s", run.pipeline.name, run.id, gate.name, command)
        return jobs


def _is_hook(run: LiveRun, stage: PlanStage) -> bool:
    return bool(run.plan.hooks) and any(hook is stage for hook in run.plan.hooks.values())


def _collecting(stage: str, item: int, attempt: int) -> Collect:
    return Collect(stage, attempt, item)


def _may_be_known(run: LiveRun, move: Start) -> bool:
    """Whether another run's result may be taken for this unit."""
    return (
        run.reuses and is_reusable(run.plan.stages[move.stage]) and unit_of(move.stage, move.item) not in run.view.anew
    )


def _kept(run: LiveRun, move: Start, key: UUID, clock: Clock) -> Known | None:
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


def _mark(run: LiveRun, move: Move, clock: Clock) -> None:
    """Remember that a move is being made, so that it is not made twice."""
    match move:
        case Check():
            run.view.checking.add(move.gate)
        case Start():
            run.view.begin(move.stage, move.item, move.attempt, clock.now())
        case Collect():
            run.view.under_way.add(unit_of(move.stage, move.item))
        case Split() | Gather() | Skip():
            run.view.under_way.add(move.stage)


def _letting_go(run: LiveRun, moves: Sequence[Move], clock: Clock) -> MoveRun | None:
    """The write that ends this process's hold on the run, where the machine says so."""
    for move in moves:
        if isinstance(move, Close):
            failure = None if move.state is RunState.SUCCEEDED else {"stage": move.stage, "reason": move.reason}
            return MoveRun(run.id, run.epoch, move.state, failure=failure)
        if isinstance(move, Park):
            wait_s = None if move.until is None else max((move.until - clock.now()).total_seconds(), 0.0)
            return MoveRun(run.id, run.epoch, RunState.WAITING, ready_in_s=wait_s)
    return None
