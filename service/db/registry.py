"""The model registry in Postgres. Implements `stages.registry.Registry` for stages that run in the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import asyncpg
import orjson

from service.db.connect import sql
from service.db.reads import Reads
from service.db.writer import CHANGED, Flush, Operation, Writer
from stages.registry import AliasMoved, ModelVersion, NewVersion

PRODUCTION = "production"


class PostgresRegistry:
    """See `stages.registry.Registry`; also what the API shows of models."""

    def __init__(self, writer: Writer, reads: Reads) -> None:
        self._writer = writer
        self._reads = reads

    async def register(self, new: NewVersion, *, idempotency_key: str) -> ModelVersion:
        """Durable by `register_version.sql`."""
        [version] = await self._writer.submit(RegisterVersion(new, idempotency_key))
        made: ModelVersion = version
        return made

    async def alias(self, model: str, alias: str) -> ModelVersion | None:
        """The version an alias points at, or None."""
        row = await self._reads.row("version_at_alias", model, alias)
        return None if row is None else model_version(row)

    async def move_alias(self, model: str, alias: str, version: int, *, expect: int | None) -> ModelVersion:
        """Durable by `move_alias.sql`. Raises `AliasMoved`."""
        [moved] = await self._writer.submit(MoveAlias(model, alias, version, expect))
        there: ModelVersion = moved
        return there


@dataclass(eq=False, slots=True)
class RegisterVersion(Operation):
    """Store a version under the next number of its model; the answer is that version."""

    order: ClassVar[int] = 80

    new: NewVersion
    idempotency_key: str

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[RegisterVersion]) -> Sequence[ModelVersion]:
        """One model's versions are numbered one after the other, under a lock on its name."""
        flush.wakes.add(CHANGED)
        return [await _register(flush, op) for op in operations]


async def _register(flush: Flush, op: RegisterVersion) -> ModelVersion:
    new = op.new
    await flush.connection.execute("select pg_advisory_xact_lock(hashtext($1))", f"model {new.model}")
    documents = (orjson.dumps(dict(part)) for part in (new.artifacts, new.metrics, new.lineage))
    await flush.connection.execute(
        sql("register_version"), new.model, *documents, new.run_id, new.pipeline, op.idempotency_key
    )
    row = await flush.connection.fetchrow(sql("version_by_key"), op.idempotency_key)
    flush.log.append({"model": new.model, "version": row["version"], "run": new.run_id, "move": "staging"})
    return model_version(row)


@dataclass(eq=False, slots=True)
class MoveAlias(Operation):
    """Point an alias at a version. The answer is that version, or `AliasMoved`."""

    order: ClassVar[int] = 81

    model: str
    alias: str
    version: int
    expect: int | None

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[MoveAlias]) -> Sequence[ModelVersion | AliasMoved]:
        """Moving `production` also moves the states of the two versions."""
        flush.wakes.add(CHANGED)
        return [await _move(flush, op) for op in operations]


async def _move(flush: Flush, op: MoveAlias) -> ModelVersion | AliasMoved:
    connection = flush.connection
    moved = await connection.fetchval(sql("move_alias"), op.model, op.alias, op.version, op.expect)
    if moved is None:
        return AliasMoved(_elsewhere(op, await connection.fetchrow(sql("version_at_alias"), op.model, op.alias)))
    if op.alias == PRODUCTION:
        await connection.execute(sql("promote"), op.model, op.version)
    flush.log.append({"model": op.model, "version": op.version, "alias": op.alias, "move": "alias"})
    return model_version(await connection.fetchrow(sql("version_at_alias"), op.model, op.alias))


def _elsewhere(op: MoveAlias, there: asyncpg.Record | None) -> str:
    """Where an alias points that is not where the caller saw it."""
    now = "nowhere" if there is None else f"at version {there['version']}"
    if op.expect is None:
        return f"{op.model}: {op.alias} points {now} already: to move it from there, say so by `expect`"
    return f"{op.model}: {op.alias} no longer points at version {op.expect}, but {now}: somebody moved it meanwhile"


def model_version(row: asyncpg.Record) -> ModelVersion:
    """A row of `model_versions`."""
    return ModelVersion(
        model=row["model"],
        version=row["version"],
        state=row["state"],
        artifacts=orjson.loads(row["artifacts"]),
        metrics=orjson.loads(row["metrics"]),
        lineage=orjson.loads(row["lineage"]),
        run_id=row["run_id"],
        pipeline=row["pipeline"],
        created_at=row["created_at"],
    )
