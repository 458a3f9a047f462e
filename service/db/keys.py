"""Requests with an `Idempotency-Key`: taken once, answered once, and told again to whoever repeats them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

import orjson

from service.db.connect import sql
from service.db.writer import Flush, Operation


@dataclass(frozen=True, slots=True)
class Claim:
    """One request of a caller under its key. `fingerprint` is a digest of all that is asked."""

    caller: str
    key: str
    fingerprint: bytes
    id: UUID


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was given."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody has the key: for the `same` request or another, answered or (None) under way."""

    same: bool
    answer: Kept | None


@dataclass(eq=False, slots=True)
class TakeKey(Operation):
    """Take the key for this request. The answer is None, or who has it. A few old keys go by the way."""

    order: ClassVar[int] = 30

    claim: Claim
    kept_s: float
    # Whether the key was taken before, for the same request unless that is long ago. Known once it is written.
    again: bool = False

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[TakeKey]) -> Sequence[Held | None]:
        """One after the other: two of the same flush may have the same key."""
        return [await _take(flush, op) for op in operations]


async def _take(flush: Flush, op: TakeKey) -> Held | None:
    claim, connection = op.claim, flush.connection
    place = (claim.caller, claim.key)
    await connection.execute(sql("forget_keys"), op.kept_s)
    given = (claim.fingerprint, claim.id, flush.daemon, op.kept_s)
    if (taken := await connection.fetchrow(sql("take_key"), *place, *given)) is not None:
        op.again = taken["again"]
        return None
    row = await connection.fetchrow(sql("key_taken"), *place)
    kept = None if row["body"] is None else Kept(row["status"], orjson.loads(row["headers"]), row["body"])
    return Held(row["fingerprint"] == claim.fingerprint, kept)


@dataclass(eq=False, slots=True)
class KeepAnswer(Operation):
    """Keep the answer; of one without a body only that there was one."""

    order: ClassVar[int] = 98

    claim: Claim
    status: int
    headers: Mapping[str, str]
    body: bytes | None

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[KeepAnswer]) -> Sequence[None]:
        """Nothing where the key was taken by somebody else meanwhile."""
        for op in operations:
            claim = op.claim
            told = orjson.dumps(dict(op.headers))
            await flush.connection.execute(
                sql("keep_answer"), claim.caller, claim.key, claim.id, op.status, told, op.body
            )
        return [None] * len(operations)


@dataclass(eq=False, slots=True)
class FreeKey(Operation):
    """Let go of the key: the request was refused and did nothing, so that it may be sent again, mended."""

    order: ClassVar[int] = 98

    claim: Claim

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[FreeKey]) -> Sequence[None]:
        """Nothing where it is gone."""
        for op in operations:
            await flush.connection.execute(sql("free_key"), op.claim.caller, op.claim.key, op.claim.id)
        return [None] * len(operations)
