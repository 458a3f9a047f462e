"""Writing attempts: one row for each try of a stage, fenced by the epoch of the run's owner."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

import orjson

from service.db.connect import sql
from service.db.usual import AttemptPlace, Usual
from service.db.writer import Flush, Operation
from service.errors import RunLost
from service.model import AttemptState
from stages.artifacts import ArtifactRef
from stages.call import WHOLE
from stages.outcome import ErrorRecord
from stages.plan import StageKey


@dataclass(eq=False, slots=True)
class PutAttempt(Operation):
    """Write an attempt as it starts or ends. The answer is whether somebody asked to cancel the run, or `RunLost`.

    `started` and `finished` are readings of `time.monotonic`; the row gets the database's time. `item` is the place in
    the list of a mapped stage. `reusable`: any run may take the result under `key`.
    """

    order: ClassVar[int] = 20

    run_id: int
    pipeline: str
    epoch: int
    stage: str
    attempt: int
    state: AttemptState
    started: float
    finished: float | None = None
    transient: bool | None = None
    key: StageKey | None = None
    output: ArtifactRef | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    failure: ErrorRecord | None = None
    reused_run: int | None = None
    made_at: datetime | None = None
    retry_in_s: float | None = None
    item: int = WHOLE
    reusable: bool = False
    child_run: int | None = None
    reason: str | None = None
    version: str | None = None
    dropped: bool = False

    @property
    def place(self) -> AttemptPlace:
        """What no other attempt shares."""
        return (self.run_id, self.stage, self.item, self.attempt)

    def usual(self, given: Usual) -> bool:
        """See `Operation`."""
        return self.dropped or given.put(self.place, _row(self, time.monotonic()), _entry(self))

    def answer(self, given: Usual) -> bool:
        """See `Operation`: nobody asked to cancel."""
        return False

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutAttempt]) -> Sequence[bool | RunLost]:
        """A start that is overtaken by its end (`dropped`) is not written at all."""
        kept = {op.place: op for op in operations if not op.dropped}
        now = time.monotonic()
        rows = [_row(op, now) for op in kept.values()]
        cancels: dict[AttemptPlace, bool] = {}
        if rows:
            for *place, cancel in await flush.connection.fetch(sql("put_attempts"), rows):
                found = (place[0], place[1], place[2], place[3])
                cancels[found] = cancel
                flush.log.append(_entry(kept[found]))
        return [_answer(op, cancels.get(op.place)) for op in operations]


def _answer(operation: PutAttempt, cancel: bool | None) -> bool | RunLost:
    if operation.dropped:
        return False
    if cancel is None:
        return RunLost(f"run {operation.run_id} was adopted by another process: {operation.stage} is not recorded")
    return cancel


def _entry(op: PutAttempt) -> dict[str, Any]:
    entry = {
        "run": op.run_id,
        "pipeline": op.pipeline,
        "stage": op.stage,
        "attempt": op.attempt,
        "move": op.state,
    }
    return entry if op.item == WHOLE else entry | {"item": op.item}


def _row(op: PutAttempt, now: float) -> tuple[Any, ...]:
    output = op.output
    return (
        op.run_id,
        op.epoch,
        op.stage,
        op.item,
        op.attempt,
        op.state,
        op.transient,
        op.key,
        op.reusable,
        output.digest if output else None,
        output.codec if output else None,
        output.size_bytes if output else None,
        output.inline if output else None,
        orjson.dumps(op.metrics) if op.metrics else None,
        orjson.dumps(op.failure) if op.failure else None,
        op.reused_run,
        op.child_run,
        op.reason,
        op.version,
        now - op.started,
        None if op.finished is None else now - op.finished,
        op.retry_in_s,
        op.made_at,
    )
