"""Looking up results that are known already, in the flush that makes their inputs durable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar
from uuid import UUID

import asyncpg
import orjson

from service.db.connect import sql
from service.db.writer import Flush, Operation
from stages.artifacts import ArtifactRef
from stages.plan import StageKey


@dataclass(frozen=True, slots=True)
class Known:
    """A finished result, the run that made it, and when; `age_s` is how long ago by the database's clock."""

    run_id: int
    output: ArtifactRef
    metrics: Mapping[str, float]
    made_at: datetime
    age_s: float = 0.0


@dataclass(eq=False, slots=True)
class LookUp(Operation):
    """Find finished results by stage key. The answer maps those of `keys` that are known."""

    order: ClassVar[int] = 70
    reads: ClassVar[bool] = True

    keys: Sequence[StageKey]

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[LookUp]) -> Sequence[Mapping[StageKey, Known]]:
        """Writes nothing: one read for the whole flush."""
        keys = sorted({key for op in operations for key in op.keys})
        rows = await flush.connection.fetch(sql("known_results"), keys)
        known = {stored_key(row["key"]): _known(row) for row in rows}
        return [{key: known[key] for key in op.keys if key in known} for op in operations]


def _known(row: asyncpg.Record) -> Known:
    return Known(row["run_id"], output_of(row), metrics_of(row), row["finished_at"], row["age_s"])


def stored_key(key: UUID) -> StageKey:
    """A stage key out of its row."""
    return StageKey(key.hex)


def output_of(row: asyncpg.Record) -> ArtifactRef:
    """The artifact an attempt's row refers to."""
    return ArtifactRef(row["output_digest"], row["output_codec"], row["output_size"], row["output_inline"])


def metrics_of(row: asyncpg.Record) -> dict[str, float]:
    """The metrics an attempt's row holds."""
    return orjson.loads(row["metrics"]) if row["metrics"] else {}
