"""The kept code of pipeline versions, and the runs that are for it rather than for what is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import orjson

from service.db.connect import columns, sql
from service.db.parents import tell_parents
from service.db.rows import Row
from service.db.writer import Flush, Operation

# What processes that hear it are told: there is a run for kept code.
WAKE = "kept"


@dataclass(eq=False, slots=True)
class KeepCode(Operation):
    """Where the code of a version is; `missing` is why it is not kept, or what may be missing in it. `made_with` are
    the packages it was loaded beside, by name.
    """

    order: ClassVar[int] = 94

    pipeline: str
    version: str
    definition: bytes
    spec: str
    digest: str | None
    size_bytes: int | None
    missing: str | None
    made_with: Mapping[str, str]

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[KeepCode]) -> Sequence[None]:
        """Safe to repeat."""
        for op in operations:
            told = (op.definition, op.spec, op.digest, op.size_bytes, op.missing, orjson.dumps(dict(op.made_with)))
            await flush.connection.execute(sql("keep_code"), op.pipeline, op.version, *told)
        return [None] * len(operations)


@dataclass(eq=False, slots=True)
class ForVersion(Operation):
    """The run that an event was just accepted for is driven with the kept code of its version, and nothing else.

    Written after the event was accepted, in the same transaction.
    """

    order: ClassVar[int] = 12

    event_key: UUID
    pipeline: str

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[ForVersion]) -> Sequence[None]:
        """Again is the same; a run that somebody drives already stays as it is."""
        rows = [(op.event_key, op.pipeline) for op in operations]
        await flush.connection.execute(sql("for_version"), *columns(rows, 2))
        flush.wakes.add(WAKE)
        return [None] * len(operations)


@dataclass(eq=False, slots=True)
class WaitingVersions(Operation):
    """Find the versions whose kept code has runs to drive, and when. Writes nothing."""

    order: ClassVar[int] = 97

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[WaitingVersions]) -> Sequence[Sequence[Row]]:
        """The rows of `waiting_versions.sql`."""
        return [await flush.connection.fetch(sql("waiting_versions"))] * len(operations)


@dataclass(eq=False, slots=True)
class RefuseKept(Operation):
    """Fail the runs that wait for the kept code of a version which cannot be run. The answer is their ids."""

    order: ClassVar[int] = 96

    pipeline: str
    version: str
    reason: str

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[RefuseKept]) -> Sequence[Sequence[int]]:
        """What is not ready yet is left to the next look."""
        answers = []
        for op in operations:
            failure = orjson.dumps({"stage": "", "reason": op.reason})
            rows = await flush.connection.fetch(sql("refuse_kept"), op.pipeline, op.version, failure)
            flush.log.extend({"run": row["id"], "pipeline": row["pipeline"], "move": "failed"} for row in rows)
            await tell_parents(flush, [row["parent_run"] for row in rows if row["parent_run"] is not None])
            answers.append([row["id"] for row in rows])
        return answers
