"""Writes nobody waits for: what triggers say of themselves, which pipelines were loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from service.db.connect import columns, sql
from service.db.writer import Flush, Operation


@dataclass(eq=False, slots=True)
class PutTriggerStatus(Operation):
    """What a listener says of one of its bindings, as JSON, and when it last saw something, if it ever did."""

    order: ClassVar[int] = 91

    binding: str
    status: bytes
    last_seen_at: datetime | None = None

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutTriggerStatus]) -> Sequence[None]:
        """One row for each binding and daemon; when something was seen outlives the daemon."""
        latest = {op.binding: op.status for op in operations}
        rows = [(binding, status) for binding, status in sorted(latest.items())]
        await flush.connection.execute(sql("put_trigger_statuses"), flush.daemon, *columns(rows, 2))
        seen = {op.binding: op.last_seen_at for op in operations if op.last_seen_at is not None}
        if seen:
            await flush.connection.execute(sql("put_trigger_seen"), *columns(sorted(seen.items()), 2))
        return [None] * len(operations)


@dataclass(eq=False, slots=True)
class PutPipeline(Operation):
    """The definition of a pipeline version, as JSON, so that its runs can be shown where its code is not loaded."""

    order: ClassVar[int] = 92

    name: str
    version: str
    definition: bytes

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutPipeline]) -> Sequence[None]:
        """A known version gets what is said of it now."""
        told = {(op.name, op.version): op.definition for op in operations}
        rows = [(*place, definition) for place, definition in sorted(told.items())]
        await flush.connection.execute(sql("put_pipelines"), *columns(rows, 3))
        return [None] * len(operations)
