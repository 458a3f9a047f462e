"""What a stage causes besides its result: events it emitted, or a sub-run. Written with its attempt, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from service.db.accept import Accept
from service.db.attempts import PutAttempt
from service.db.connect import sql
from service.db.steering import Resume
from service.db.writer import Flush, Operation
from service.errors import RunLost
from service.model import AttemptState, RunState
from stages.outcome import ErrorRecord
from triggers.base import Outcome


@dataclass(eq=False, slots=True)
class PutCausing(Operation):
    """An attempt, and the events it emitted. They are accepted only where its run is still this process's to write."""

    order: ClassVar[int] = 21

    attempt: PutAttempt
    accept: Accept

    def committed(self, answer: Any) -> None:
        """Hand over the runs the events started, or give back the places that were held for them."""
        if isinstance(answer, tuple):
            self.accept.committed(answer[1])
        else:
            self.accept.refused()

    def refused(self) -> None:
        """Give back the places held for the runs that will not be."""
        self.accept.refused()

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutCausing]) -> Sequence[Any]:
        """The answer is that of the attempt and that of its events, or `RunLost`."""
        put = await PutAttempt.write(flush, [operation.attempt for operation in operations])
        telling = [op.accept for op, answer in zip(operations, put, strict=True) if not isinstance(answer, RunLost)]
        accepted = dict(zip(telling, await Accept.write(flush, telling), strict=True)) if telling else {}
        return [
            (answer, accepted[op.accept]) if op.accept in accepted else answer
            for op, answer in zip(operations, put, strict=True)
        ]


@dataclass(eq=False, slots=True)
class StartChild(PutCausing):
    """An attempt that waits for a sub-run, and the sub-run. Where there is none to wait for, the attempt has failed.

    A run whose sub-run is over already, or never came to be, is told to look again at once.
    """

    order: ClassVar[int] = 22

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutCausing]) -> Sequence[Any]:
        """One after the other: a sub-run's number is known only once it is accepted."""
        return [await _start_child(flush, operation) for operation in operations]


async def _start_child(flush: Flush, operation: PutCausing) -> Any:
    attempt = operation.attempt
    mine = await flush.connection.fetchval(sql("owns_run"), attempt.run_id, attempt.epoch)
    if not mine:
        return RunLost(f"run {attempt.run_id} was adopted by another process: {attempt.stage} starts no sub-run")
    [accepted] = await Accept.write(flush, [operation.accept])
    if isinstance(accepted, Exception):
        return accepted
    [outcome] = accepted.outcomes[operation.accept.events[0].key]
    await _bind(flush, attempt, outcome)
    [answer] = await PutAttempt.write(flush, [attempt])
    return (answer, accepted)


async def _bind(flush: Flush, attempt: PutAttempt, outcome: Outcome) -> None:
    """Tie the sub-run to the attempt that waits for it. One that failed, or was cancelled, is gone on with."""
    over = True
    if outcome.run_id is None:
        attempt.state, attempt.transient = AttemptState.FAILED, False
        attempt.finished = attempt.started
        attempt.failure = ErrorRecord("SubRunRefused", f"its sub-run was not started: {outcome.fate}: {outcome.reason}")
    else:
        attempt.child_run = outcome.run_id
        state = await flush.connection.fetchval(sql("adopt_child"), outcome.run_id, attempt.run_id)
        over = state == RunState.SUCCEEDED
        if state in (RunState.FAILED, RunState.CANCELLED):
            await Resume.write(flush, [Resume(outcome.run_id, "tidemill", detail={"with": attempt.run_id})])
    if over:
        await flush.connection.execute(sql("poke"), attempt.run_id)
