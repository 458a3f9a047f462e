"""The audit log: added to, and trimmed at its old end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson

from service.audit import Note
from service.db.connect import sql
from service.db.writer import Flush, Operation

MOST_TEXT = 1000
# Tells every process that there is more in it.
AUDITED = "audited"


@dataclass(eq=False, slots=True)
class PutAudit(Operation):
    """Note a request: of one that was carried out in the transaction of what it does. Where nothing came of that, it is
    not noted, and has its note `back` for what is answered instead.
    """

    order: ClassVar[int] = 95
    follows: ClassVar[bool] = True

    note: Note
    back: Callable[[], None] | None = None

    def in_vain(self, answer: Any) -> bool:
        """A note with others goes by them."""
        return self.back is not None

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutAudit]) -> Sequence[bool]:
        """One row for each; written again it is the same row. Every process hears of it."""
        flush.wakes.add(AUDITED)
        await flush.connection.executemany(sql("put_audit"), [_row(op.note) for op in operations])
        return [True] * len(operations)

    def committed(self, answer: bool | None) -> None:
        """The request goes on after this."""
        if answer is None and self.back is not None:
            self.back()


def _row(note: Note) -> tuple[object, ...]:
    caller, detail = note.caller, orjson.dumps(dict(note.detail), default=str)
    texts = (caller.name, note.said, caller.via.value, caller.known_as, note.address, note.action, note.object)
    return note.request, note.answer, *map(_text, texts), note.run_id, detail


def _text(given: str) -> str:
    """As a database takes it."""
    return given[:MOST_TEXT].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


@dataclass(eq=False, slots=True)
class TrimAudit(Operation):
    """Remove what is older than so many days, some of it. The answer is how many rows went."""

    order: ClassVar[int] = 96

    days: float
    most: int

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[TrimAudit]) -> Sequence[int]:
        """Nothing else can remove a row."""
        return [await flush.connection.fetchval(sql("trim_audit"), op.days, op.most) for op in operations]
