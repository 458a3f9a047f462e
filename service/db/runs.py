"""Moving runs: let go, and write what gates find. How they are claimed: `service.db.claims`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, ClassVar

import orjson

from service.db.connect import columns, sql
from service.db.entries import held
from service.db.parents import tell_parents
from service.db.rows import Row
from service.db.usual import Usual
from service.db.writer import Flush, Operation
from service.errors import RunLost
from service.model import GateState, RunState
from stages.artifacts import ArtifactRef


@dataclass(eq=False, slots=True)
class MoveRun(Operation):
    """The owner lets go of a run: it is finished, or waits (`ready_in_s` None: for a gate). Fenced by the epoch."""

    order: ClassVar[int] = 40

    run_id: int
    epoch: int
    state: RunState
    ready_in_s: float | None = None
    failure: Mapping[str, Any] | None = None

    def usual(self, given: Usual) -> bool:
        """See `Operation`."""
        given.moves.append(_move(self))
        return True

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[MoveRun]) -> Sequence[RunLost | None]:
        """The answer is None, or `RunLost`."""
        rows = sorted((_move(op) for op in operations), key=itemgetter(0))
        moved = {row["id"]: row for row in await flush.connection.fetch(sql("move_runs"), rows)}
        for op in operations:
            row = moved.get(op.run_id)
            if row is not None:
                entry = {"run": op.run_id, "pipeline": row["pipeline"], "move": op.state.value}
                flush.log.append(entry | held(row["key"], row["pool"]))
                if row["ready"] or row["limited"]:
                    flush.wakes.add("")
                if row["sequence"] is not None:
                    flush.sequences.add(row["sequence"])
        await tell_parents(flush, [row["parent_run"] for row in moved.values() if row["parent_run"] is not None])
        return [None if op.run_id in moved else RunLost(f"run {op.run_id} was adopted by another") for op in operations]


def _move(op: MoveRun) -> tuple[Any, ...]:
    failure = orjson.dumps(op.failure) if op.failure else None
    return (op.run_id, op.epoch, op.state.value, op.ready_in_s, failure)


@dataclass(eq=False, slots=True)
class Blame(Operation):
    """Say that something is begun for a run that lost its process before. The answer is None, or `RunLost`."""

    order: ClassVar[int] = 25

    run_id: int
    epoch: int

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Blame]) -> Sequence[RunLost | None]:
        """Should this process die, the run is one adoption nearer to being called poison."""
        answers: list[RunLost | None] = []
        for op in operations:
            mine = await flush.connection.fetchval(sql("blame"), op.run_id, op.epoch)
            answers.append(None if mine else RunLost(f"run {op.run_id} was adopted by another"))
        return answers


@dataclass(eq=False, slots=True)
class PutGate(Operation):
    """Write what was found on an arrow. Fenced by the epoch: the answer is None, or `RunLost`."""

    order: ClassVar[int] = 30

    run_id: int
    pipeline: str
    epoch: int
    gate: str
    source: str
    target: str
    state: GateState
    reason: str
    evidence: Mapping[str, Any]
    subject: str
    decided_by: str
    expires_s: float | None = None
    report: ArtifactRef | None = None

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutGate]) -> Sequence[RunLost | None]:
        """A later result replaces an earlier one, save what people decided, and is kept in the history."""
        rows = [_gate(op) for op in operations]
        put = {(row[0], row[1]) for row in await flush.connection.fetch(sql("put_gates"), *columns(rows, 13))}
        for op in operations:
            if (op.run_id, op.gate) in put:
                entry = {"run": op.run_id, "pipeline": op.pipeline, "gate": op.gate, "move": op.state.value}
                flush.log.append(entry)
        return [
            None if (op.run_id, op.gate) in put else RunLost(f"run {op.run_id} was adopted by another")
            for op in operations
        ]


def _gate(op: PutGate) -> tuple[Any, ...]:
    evidence = orjson.dumps(op.evidence, default=str)
    report = (None, None) if op.report is None else (op.report.digest, op.report.size_bytes)
    return (
        *(op.run_id, op.epoch, op.gate, op.source, op.target, op.state.value, op.reason),
        *(evidence, op.subject, op.decided_by, op.expires_s, *report),
    )


@dataclass(eq=False, slots=True)
class Owned(Operation):
    """Find the runs that are this process's. Comes before anything else in its flush: what earlier flushes claimed is
    known to the process by then, what this one claims is not among them.
    """

    order: ClassVar[int] = 1

    found: Callable[[Sequence[Row]], None]

    def committed(self, answer: Any) -> None:
        """Tell them."""
        self.found(answer)

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Owned]) -> Sequence[Sequence[Row]]:
        """Writes nothing."""
        return [await flush.connection.fetch(sql("owned_runs"), flush.daemon)] * len(operations)
