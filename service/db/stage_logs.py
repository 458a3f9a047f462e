"""Writing what stages log, and how far they say they are. Nobody waits for these writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar

import asyncpg
import orjson

from service.db.connect import columns, sql
from service.db.writer import Flush, Operation
from stages.call import Call
from stages.log_lines import LogLine

WIDTH = 11

Place = tuple[int, str, int, int]


def place_of(call: Call) -> Place:
    """What no other attempt shares: run, stage, item, attempt."""
    return (call.run_id, call.stage, call.item, call.attempt)


@dataclass(frozen=True, slots=True)
class LogRow:
    """A line and where it belongs; `number` counts the lines of its attempt."""

    place: Place
    number: int
    line: LogLine


@dataclass(eq=False, slots=True)
class PutLogLines(Operation):
    """Lines that stages logged, those of an attempt in order. `done` is called once they are written, or refused."""

    order: ClassVar[int] = 90

    rows: Sequence[LogRow]
    done: Callable[[], None] = lambda: None
    tried: bool = False

    def committed(self, answer: Any) -> None:
        """They are written."""
        self.done()

    def refused(self) -> None:
        """They are lost."""
        self.done()

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutLogLines]) -> Sequence[None]:
        """Lines that an unconfirmed commit wrote after all are not written again."""
        rows = [row for op in operations for row in op.rows]
        if any(op.tried for op in operations):
            rows = await _missing(flush.connection, rows)
        for op in operations:
            op.tried = True
        await _insert(flush, rows)
        return [None] * len(operations)


@dataclass(eq=False, slots=True)
class PutLogFile(Operation):
    """The artifact with the rest of what an attempt logged, and a last line that comes after it."""

    # After the lines before it.
    order: ClassVar[int] = 91

    place: Place
    digest: str
    lines: int
    size_bytes: int
    dropped_lines: int = 0
    last: LogRow | None = None
    stored: Callable[[], None] = field(default=lambda: None)

    def committed(self, answer: Any) -> None:
        """The spool is no longer needed."""
        self.stored()

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutLogFile]) -> Sequence[None]:
        """An attempt has one file: another one changes nothing."""
        for op in operations:
            numbers = (op.lines, op.size_bytes, op.dropped_lines)
            seq = await flush.connection.fetchval(sql("put_log_file"), *op.place, op.digest, *numbers)
            if seq is not None:
                await _insert(flush, [] if op.last is None else [op.last])
                flush.log.append({"run": op.place[0], "move": "logged"})
        return [None] * len(operations)


@dataclass(eq=False, slots=True)
class PutProgress(Operation):
    """How far an attempt says it is; of several in one flush the latest counts."""

    # After the attempts: the row of one that has just started is written first.
    order: ClassVar[int] = 25

    place: Place
    fraction: float
    note: str

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[PutProgress]) -> Sequence[None]:
        """Fenced by the attempt's state: what has ended stays as it is."""
        latest = {op.place: (op.fraction, op.note) for op in operations}
        rows = [(*place, *told) for place, told in sorted(latest.items())]
        await flush.connection.execute(sql("put_progress"), *columns(rows, 6))
        return [None] * len(operations)


async def _insert(flush: Flush, rows: Sequence[LogRow]) -> None:
    if rows:
        await flush.connection.execute(sql("put_log_lines"), *columns([_row(row) for row in rows], WIDTH))
        flush.log.extend({"run": run_id, "move": "logged"} for run_id in dict.fromkeys(row.place[0] for row in rows))


async def _missing(connection: asyncpg.Connection, rows: Sequence[LogRow]) -> list[LogRow]:
    """The rows that are not there: an attempt's lines are written in order, so the last one tells."""
    last: dict[Place, int] = {}
    for place in {row.place for row in rows}:
        found = await connection.fetchval(sql("last_log_line"), *place)
        last[place] = -1 if found is None else found
    return [row for row in rows if row.number > last[row.place]]


def _row(row: LogRow) -> tuple[Any, ...]:
    line = row.line
    at = datetime.fromtimestamp(line.at, UTC)
    fields = orjson.dumps(line.fields) if line.fields else None
    return (*row.place, row.number, at, line.source, line.level, line.logger, line.message, fields)
