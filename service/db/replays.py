"""Writing what replays are of, and what runs in shadow would have done; and reading both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

import orjson

from service.db.attempts import PutAttempt
from service.db.connect import columns, sql
from service.db.reads import Reads
from service.db.rows import Row
from service.db.writer import Flush, Operation
from service.errors import RunLost
from service.shapes.replays import EffectShape, ReplayOf
from triggers.replay import SHADOW_TRIGGER

MOST_EFFECTS = 1000


@dataclass(eq=False, slots=True)
class PutReplay(Operation):
    """Note of which event a replay's run was made. Written after the replay was accepted, in the same transaction."""

    order: ClassVar[int] = 11

    event_key: UUID
    pipeline: str
    of_event: UUID

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutReplay]) -> Sequence[None]:
        """Safe to repeat."""
        rows = [(op.event_key, op.pipeline, op.of_event) for op in operations]
        await flush.connection.execute(sql("put_replay"), *columns(rows, 3))
        return [None] * len(operations)


@dataclass(eq=False, slots=True)
class PutFenced(Operation):
    """An attempt in shadow, and what it would have done. The answer is that of the attempt."""

    order: ClassVar[int] = 23

    attempt: PutAttempt
    effects: Sequence[Mapping[str, Any]]

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutFenced]) -> Sequence[bool | RunLost]:
        """Nothing is noted where the run is another process's by now."""
        answers = await PutAttempt.write(flush, [operation.attempt for operation in operations])
        rows = [
            (*op.attempt.place, place, orjson.dumps(effect))
            for op, answer in zip(operations, answers, strict=True)
            if not isinstance(answer, RunLost)
            for place, effect in enumerate(op.effects)
        ]
        if rows:
            await flush.connection.execute(sql("put_fenced"), *columns(rows, 6))
        return answers


async def effects_of(reads: Reads, run_id: int) -> list[EffectShape]:
    """What a run in shadow would have done, stage by stage. Raises `DatabaseUnavailable`."""
    return [_effect(row, orjson.loads(row["effect"])) for row in await reads.fetch("fenced_of", run_id, MOST_EFFECTS)]


def _effect(row: Row, told: Mapping[str, Any]) -> EffectShape:
    return {
        "stage": row["stage"],
        "item": None if row["item"] < 0 else row["item"],
        "attempt": row["attempt"],
        "effect": told["effect"],
        "told": told["told"],
        "detail": {name: value for name, value in told.items() if name not in ("effect", "told")},
    }


async def replays_of(reads: Reads, event_key: UUID) -> list[ReplayOf]:
    """The runs that were made of an event again. Raises `DatabaseUnavailable`."""
    rows = await reads.fetch("replays_of", event_key)
    return [
        {
            "run": row["run"],
            "pipeline": row["pipeline"],
            "version": row["version"],
            "state": row["state"],
            "shadow": row["trigger"] == SHADOW_TRIGGER,
        }
        for row in rows
    ]
