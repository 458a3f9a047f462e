"""One-time links to decide a gate: who made which for whom, and the key they are signed with."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import orjson

from service.db.connect import sql
from service.db.reads import Reads
from service.db.writer import Flush, Operation
from service.links import KEY_BYTES, Link


@dataclass(eq=False, slots=True)
class PutLink(Operation):
    """Remember a link, and who made it, before anybody has it. The answer is when it expires."""

    order: ClassVar[int] = 44

    link: Link
    made_by: str
    expires_s: float

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutLink]) -> Sequence[datetime]:
        """The run's history tells of it."""
        return [await _put(flush, op) for op in operations]


async def _put(flush: Flush, op: PutLink) -> datetime:
    one = op.link
    row = (one.id, one.run_id, one.gate, one.subject, one.person, one.decision, op.made_by, op.expires_s)
    expires_at: datetime = await flush.connection.fetchval(sql("put_link"), *row)
    told = {"gate": one.gate, "for": one.person, "decision": one.decision, "expires_at": expires_at}
    await flush.connection.execute(sql("note_action"), one.run_id, "linked", op.made_by, orjson.dumps(told))
    return expires_at


@dataclass(eq=False, slots=True)
class KeepKey(Operation):
    """Make the installation's key for links, unless it has one. The answer is the key."""

    order: ClassVar[int] = 44

    made: bytes

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[KeepKey]) -> Sequence[bytes]:
        """The first one stays."""
        return [await flush.connection.fetchval(sql("keep_link_key"), op.made) for op in operations]


async def known_key(reads: Reads) -> bytes | None:
    """The installation's key, once there is one."""
    row = await reads.row("link_key")
    return None if row is None else row["link_key"]


def new_key() -> KeepKey:
    """A key, if none is there yet."""
    return KeepKey(secrets.token_bytes(KEY_BYTES))
