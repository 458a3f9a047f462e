"""What becomes of an attempt: the row that makes it durable, taken into the run's view at once."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from service.db.attempts import PutAttempt
from service.db.results import Known
from service.loops.live import LiveRun
from service.model import SUCCEEDED, AttemptState, Tried
from stages.artifacts import ArtifactRef
from stages.outcome import ErrorRecord, Failed, Lost, Outcome, Skipped, Succeeded, Waits
from stages.plan import PlanStage, StageKey


@dataclass(frozen=True, slots=True)
class Reused:
    """Not tried at all: the result was known, in this run (`run_id` is its own) or another."""

    known: Known


@dataclass(frozen=True, slots=True)
class CutShort:
    """Stopped by us before it had a result."""

    reason: str


Ending = Outcome | Reused | CutShort


@dataclass(eq=False, slots=True)
class Attempt:
    """One try of a unit under way. `started` is when its function was called, a reading of `time.monotonic`.

    `item`: which item of a mapped stage it is for, if any. `unit` is what the run's view calls it. `running` is its row
    where that says already that it is running.
    """

    run: LiveRun
    stage: PlanStage
    number: int
    item: int
    unit: str
    key: StageKey | None
    started: float
    running: PutAttempt | None = None

    def row(self, state: AttemptState, finished: float | None = None) -> PutAttempt:
        """Its row, as far as it is known without an ending."""
        run = self.run
        return PutAttempt(
            run.id,
            run.pipeline.name,
            run.epoch,
            self.stage.name,
            self.number,
            state,
            self.started,
            finished,
            key=self.key,
            item=self.item,
            version=run.pipeline.version,
        )

    def end(self, ending: Ending, now: datetime) -> PutAttempt:
        """Take an ending into the run's view; return the row that makes it durable."""
        tried, row = _ended(self, ending, now)
        self.run.view.record(self.stage.name, tried, self.item)
        return row


def _ended(attempt: Attempt, ending: Ending, now: datetime) -> tuple[Tried, PutAttempt]:
    finished = time.monotonic()
    match ending:
        case Succeeded():
            row = attempt.row(SUCCEEDED, finished)
            row.reusable, row.metrics = attempt.stage.reusable and not attempt.run.shadow, ending.metrics
            return _made(attempt, row, ending.output, now)
        case Reused():
            return _reused(attempt, ending.known, finished)
        case Failed():
            return _failed(attempt, ending.error, now, finished)
        case Lost():
            return _lost(attempt, ending, now, finished)
        case Waits():
            row = attempt.row(AttemptState.WAITING)
            row.reason = ending.sub_run.output or ""
            return Tried(attempt.number, AttemptState.WAITING, key=attempt.key), row
        case Skipped() | CutShort():
            state = AttemptState.SKIPPED if isinstance(ending, Skipped) else AttemptState.CANCELLED
            row = attempt.row(state, finished)
            row.reason = ending.reason
            return Tried(attempt.number, state, finished_at=now), row
        case _:
            assert_never(ending)


def _made(attempt: Attempt, row: PutAttempt, output: ArtifactRef, now: datetime) -> tuple[Tried, PutAttempt]:
    row.output = output
    return Tried(attempt.number, row.state, False, output, row.metrics, now, key=attempt.key), row


def _reused(attempt: Attempt, known: Known, finished: float) -> tuple[Tried, PutAttempt]:
    row = attempt.row(AttemptState.REUSED, finished)
    row.metrics, row.reused_run, row.made_at = known.metrics, known.run_id, known.made_at
    return _made(attempt, row, known.output, known.made_at)


def _failed(attempt: Attempt, error: ErrorRecord, now: datetime, finished: float) -> tuple[Tried, PutAttempt]:
    policy = attempt.stage.stage.retry
    failures = attempt.run.view.failures.get(attempt.unit, 0) + 1
    delay_s = None
    if error.transient and failures < policy.max_attempts:
        delay_s = policy.delay_s(failures, random.random(), error.retry_after_s)
    row = attempt.row(AttemptState.FAILED, finished)
    row.failure, row.transient, row.retry_in_s = error, error.transient, delay_s
    due = _due(now, delay_s)
    return Tried(attempt.number, row.state, error.transient, finished_at=now, retry_at=due), row


def _lost(attempt: Attempt, lost: Lost, now: datetime, finished: float) -> tuple[Tried, PutAttempt]:
    losses = attempt.run.view.losses.get(attempt.unit, 0) + 1
    delay_s = attempt.stage.stage.retry.delay_s(losses, random.random())
    row = attempt.row(AttemptState.LOST, finished)
    row.failure, row.retry_in_s = ErrorRecord("WorkerLost", lost.reason, transient=True), delay_s
    return Tried(attempt.number, row.state, finished_at=now, retry_at=_due(now, delay_s)), row


def _due(now: datetime, delay_s: float | None) -> datetime | None:
    return None if delay_s is None else now + timedelta(seconds=delay_s)
