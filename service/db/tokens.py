"""Tokens of the API: made, revoked, and when they were last used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from service.db.connect import sql
from service.db.rows import Row
from service.db.writer import Flush, Operation

# Tells every process that tokens were made or revoked.
WAKE = "tokens"


@dataclass(eq=False, slots=True)
class PutToken(Operation):
    """Make a token, of which only the digest is known here. The answer is its row, None where its name is taken."""

    order: ClassVar[int] = 80

    name: str
    digest: bytes
    prefix: str
    roles: Sequence[str]
    pipelines: Sequence[str]
    by: str
    expires_s: float | None

    def in_vain(self, answer: Any) -> bool:
        """The name is taken."""
        return answer is None

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutToken]) -> Sequence[Row | None]:
        """Every process hears of it."""
        flush.wakes.add(WAKE)
        return [await _put(flush, op) for op in operations]


async def _put(flush: Flush, op: PutToken) -> Row | None:
    row = (op.name, op.digest, op.prefix, list(op.roles), list(op.pipelines), op.by, op.expires_s)
    made: Row | None = await flush.connection.fetchrow(sql("put_token"), *row)
    return made


@dataclass(eq=False, slots=True)
class RevokeToken(Operation):
    """End the token of a name. The answer is its id, None where there is none."""

    order: ClassVar[int] = 81

    name: str
    by: str

    def in_vain(self, answer: Any) -> bool:
        """There was none."""
        return answer is None

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[RevokeToken]) -> Sequence[int | None]:
        """Every process hears of it."""
        flush.wakes.add(WAKE)
        return [await flush.connection.fetchval(sql("revoke_token"), op.name, op.by) for op in operations]


@dataclass(eq=False, slots=True)
class UseToken(Operation):
    """A token was used: told now and then, not for each request."""

    order: ClassVar[int] = 93

    id: int

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[UseToken]) -> Sequence[None]:
        """One statement for all."""
        await flush.connection.execute(sql("use_tokens"), sorted({op.id for op in operations}))
        return [None] * len(operations)
