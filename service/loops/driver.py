"""Drives one run: does what the machine says, and makes every result durable before anything depends on it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from service import faults
from service.db.attempts import PutAttempt
from service.db.results import Known, LookUp
from service.db.runs import MoveRun, PutGate
from service.db.writer import Operation, Writer
from service.errors import ServiceError
from service.loops.checks import Checks
from service.loops.live import LiveRun
from service.machine import Check, Close, Move, Park, Start, decide
from service.model import AttemptState, Checked, GateState, RunState, Tried
from stages.artifacts import ArtifactRef, ArtifactStore
from stages.call import Call
from stages.errors import StageError
from stages.outcome import ErrorRecord, Failed, Lost, Outcome, Succeeded
from stages.plan import PlanStage, stage_key
from stages.runners.base import Runner
from triggers.base import Clock

logger = logging.getLogger("tidemill.executor")


@dataclass(frozen=True, slots=True)
class Job:
    """One move that takes work. `key` and `known`: under which key the stage's result is kept, and the result."""

    move: Start | Check
    key: UUID | None = None
    known: Known | None = None


@dataclass(frozen=True, slots=True)
class Driver:
    """Everything a run is driven with; shared by all runs of the process."""

    writer: Writer
    clock: Clock
    store: ArtifactStore
    runners: Mapping[str, Runner]
    checks: Checks

    async def begin(self, run: LiveRun) -> list[Job]:
        """What a run that was just taken does first."""
        return await self._record(run, [])

    async def work(self, run: LiveRun, job: Job) -> list[Job]:
        """Do one job, make its result durable, and return what can be done next. Raises `RunLost`."""
        if isinstance(job.move, Check):
            return await self._check(run, job.move)
        if job.known is not None:
            return await self._reuse(run, job.move, job.key, job.known)
        return await self._attempt(run, job.move, job.key)

    async def _record(self, run: LiveRun, results: Sequence[Operation]) -> list[Job]:
        """Write results, and with them whatever follows at once: letting go of the run, looking up known results."""
        moves = decide(run.plan, run.view, self.clock.now())
        keys: dict[Move, UUID | None] = {move: self._key(run, move.stage) for move in moves if isinstance(move, Start)}
        operations = [*results]
        letting_go = _letting_go(run, moves, self.clock)
        if letting_go is not None:
            operations.append(letting_go)
        wanted = [key for key in keys.values() if key is not None]
        if wanted:
            operations.append(LookUp(wanted))
        for move in moves:
            _mark(run, move)
        answers = await self.writer.submit(*operations) if operations else []
        if any(answer is True for answer in answers):
            run.cancel()
        known = answers[-1] if wanted else {}
        return [await self._job(move, keys.get(move), known) for move in moves if isinstance(move, Start | Check)]

    async def _job(self, move: Start | Check, key: UUID | None, known: Mapping[UUID, Known]) -> Job:
        result = known.get(key) if key is not None else None
        return Job(move, key, result if result is not None and await self._there(result) else None)

    async def _there(self, result: Known) -> bool:
        """Whether a known result can be used; where the store does not answer, the stage is run."""
        try:
            return result.output.inline is not None or await self.store.exists(result.output.digest)
        except StageError:
            return False

    def _key(self, run: LiveRun, name: str) -> UUID | None:
        """The key under which any run may use this stage's result; None where it belongs to this run alone."""
        stage = run.plan.stages[name]
        if stage.stage.reuse != "always" or stage.takes_event or stage.takes_records:
            return None
        inputs = {parameter: output(run, source).identity for parameter, source in stage.inputs.items()}
        params_digest = run.params_digest if stage.takes_params else ""
        return stage_key(stage, inputs=inputs, params_digest=params_digest, event_key=run.event.key)

    async def _attempt(self, run: LiveRun, move: Start, key: UUID | None) -> list[Job]:
        stage = run.plan.stages[move.stage]
        started = time.monotonic()
        row = _attempt_row(run, move, AttemptState.RUNNING, started)
        self.writer.later(row)
        await faults.reach(f"stage.{move.stage}")
        outcome = await self._outcome(run, stage, move)
        row.dropped = True
        result = self._result(run, stage, move, outcome, started)
        result.key, result.reusable = key, key is not None
        await faults.reach(f"stage.{move.stage}.done")
        return await self._record(run, [result])

    async def _outcome(self, run: LiveRun, stage: PlanStage, move: Start) -> Outcome | None:
        """What the runner says; None when the attempt was cut short because the run is cancelled."""
        try:
            async with asyncio.timeout(None) as scope:
                run.scopes.add(scope)
                if run.view.cancel:
                    run.cancel()
                return await self.runners[stage.runner].run(stage, self._call(run, stage, move))
        except TimeoutError:
            return None
        finally:
            run.scopes.discard(scope)

    def _call(self, run: LiveRun, stage: PlanStage, move: Start) -> Call:
        return Call(
            pipeline=run.pipeline.name,
            stage=stage.name,
            run_id=run.id,
            attempt=move.attempt,
            idempotency_key=f"{run.event.key}-{run.pipeline.name}-{stage.name}",
            event=run.event,
            params=run.params,
            inputs={parameter: output(run, source) for parameter, source in stage.inputs.items()},
            timeout_s=stage.stage.timeout_s,
        )

    def _result(
        self, run: LiveRun, stage: PlanStage, move: Start, outcome: Outcome | None, started: float
    ) -> PutAttempt:
        """Take an outcome into the run's view; return the row that makes it durable."""
        finished = time.monotonic()
        now = self.clock.now()
        if isinstance(outcome, Succeeded):
            tried = Tried(move.attempt, AttemptState.SUCCEEDED, False, outcome.output, outcome.metrics, now)
            row = _attempt_row(run, move, AttemptState.SUCCEEDED, started, finished)
            row.output, row.metrics = outcome.output, outcome.metrics
        elif isinstance(outcome, Failed):
            failures = run.view.failures.get(stage.name, 0) + 1
            delay_s = _retry_in_s(stage, outcome.error, failures)
            due = None if delay_s is None else now + timedelta(seconds=delay_s)
            tried = Tried(move.attempt, AttemptState.FAILED, outcome.error.transient, finished_at=now, retry_at=due)
            row = _attempt_row(run, move, AttemptState.FAILED, started, finished)
            row.failure, row.transient, row.retry_in_s = outcome.error, outcome.error.transient, delay_s
        elif isinstance(outcome, Lost):
            delay_s = stage.stage.retry.delay_s(run.view.losses.get(stage.name, 0) + 1, random.random())
            due = now + timedelta(seconds=delay_s)
            tried = Tried(move.attempt, AttemptState.LOST, finished_at=now, retry_at=due)
            row = _attempt_row(run, move, AttemptState.LOST, started, finished)
            row.failure, row.retry_in_s = ErrorRecord("WorkerLost", outcome.reason, transient=True), delay_s
        else:
            tried = Tried(move.attempt, AttemptState.CANCELLED, finished_at=now)
            row = _attempt_row(run, move, AttemptState.CANCELLED, started, finished)
        run.view.record(stage.name, tried)
        return row

    async def _reuse(self, run: LiveRun, move: Start, key: UUID | None, known: Known) -> list[Job]:
        now = time.monotonic()
        row = _attempt_row(run, move, AttemptState.REUSED, now, now)
        row.output, row.metrics, row.key = known.output, known.metrics, key
        row.reused_run, row.made_at = known.run_id, known.made_at
        tried = Tried(move.attempt, AttemptState.REUSED, False, known.output, known.metrics, known.made_at)
        run.view.record(move.stage, tried)
        return await self._record(run, [row])

    async def _check(self, run: LiveRun, move: Check) -> list[Job]:
        gate, artifact, found = await self.checks.check(run, move.gate)
        run.view.checking.discard(move.gate)
        run.view.gates[move.gate] = Checked(found.state, artifact.digest, found.reason)
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
        )
        jobs = await self._record(run, [row])
        if found.state is GateState.WAITING:
            command = f"tidemill approve {run.id} {gate.name} --by NAME"
            logger.info("%s run %s waits at gate %s: %s", run.pipeline.name, run.id, gate.name, command)
        return jobs


def output(run: LiveRun, stage: str) -> ArtifactRef:
    """The artifact a finished stage made."""
    made = run.view.tried[stage].output
    if made is None:
        raise ServiceError(f"run {run.id}: stage {stage} is not finished")
    return made


def _mark(run: LiveRun, move: Move) -> None:
    """Remember that a move is being made, so that it is not made twice."""
    if isinstance(move, Check):
        run.view.checking.add(move.gate)
    elif isinstance(move, Start):
        run.view.tried[move.stage] = Tried(move.attempt, AttemptState.RUNNING)


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


def _attempt_row(
    run: LiveRun, move: Start, state: AttemptState, started: float, finished: float | None = None
) -> PutAttempt:
    return PutAttempt(run.id, run.pipeline.name, run.epoch, move.stage, move.attempt, state, started, finished)


def _retry_in_s(stage: PlanStage, error: ErrorRecord, failures: int) -> float | None:
    """When to try again, or None where the policy says not to."""
    policy = stage.stage.retry
    if not error.transient or failures >= policy.max_attempts:
        return None
    return policy.delay_s(failures, random.random(), error.retry_after_s)
