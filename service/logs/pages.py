"""Pages of what a run logged: rows of Postgres and lines of files in one order.

A place is a row's number times 2**20; in a file, the number of the file's row, and the line's in the file added. So a
place is one whole number, and whoever comes back with it goes on behind it, in the middle of a file as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from service.db.reads import Reads
from service.db.rows import Row
from service.logs.files import LogFiles
from service.shapes.logs import LogLine, LogsPage
from stages.call import WHOLE
from stages.errors import ArtifactCorrupted, ArtifactMissing

LINE_BITS = 20
FILE_LINES = 1 << LINE_BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines of a run. `item` is the place in the list of a mapped stage."""

    stage: str | None = None
    item: int | None = None
    attempt: int | None = None


EVERYTHING = Wanted()


class LogPages:
    """Every call may raise `DatabaseUnavailable` and `StoreUnavailable`."""

    def __init__(self, reads: Reads, files: LogFiles) -> None:
        self._reads = reads
        self._files = files

    async def page(self, run_id: int, wanted: Wanted = EVERYTHING, *, after: int = 0, limit: int) -> LogsPage:
        """Lines of a run behind the place `after`, oldest first."""
        seq, line = divmod(after, FILE_LINES)
        asked = (run_id, seq, wanted.stage, wanted.item, wanted.attempt, limit)
        rows = await self._reads.fetch("list_logs", *asked)
        files = await self._reads.fetch("list_log_files", *asked)
        lines: list[LogLine] = []
        for one in sorted([*rows, *files], key=lambda one: int(one["seq"])):
            if len(lines) >= limit:
                break
            if "digest" in one:
                lines += await self._of_file(one, line if one["seq"] == seq else 0, limit - len(lines))
            else:
                lines.append(_of_row(one))
        return {"lines": lines, "next": lines[-1]["seq"] if lines else None}

    async def _of_file(self, file: Row, start: int, limit: int) -> Sequence[LogLine]:
        if start >= file["lines"]:
            return []
        try:
            found = await self._files.lines(file["digest"], start, limit)
        except (ArtifactMissing, ArtifactCorrupted) as error:
            return [_missing(file, start, str(error))]
        if not found:
            return [_missing(file, start, f"the log file {file['digest']} ends too early")]
        return [_of_line(file, start + number, line) for number, line in enumerate(found, 1)]


def _of_row(row: Row) -> LogLine:
    fields: dict[str, Any] = orjson.loads(row["fields"]) if row["fields"] else {}
    seq = row["seq"] * FILE_LINES
    told = (row["at"], row["source"], row["level"], row["logger"], row["message"], fields)
    return _line(row, seq, *told)


def _of_line(file: Row, number: int, line: bytes) -> LogLine:
    plain = orjson.loads(line)
    told = (plain["source"], plain["level"], plain["logger"], plain["message"], plain.get("fields", {}))
    return _line(file, file["seq"] * FILE_LINES + number, datetime.fromtimestamp(plain["at"], UTC), *told)


def _missing(file: Row, start: int, why: str) -> LogLine:
    """Stands for what cannot be read, so that whoever pages comes past it."""
    message = f"{file['lines'] - start:,} lines cannot be shown: {why}"
    seq = file["seq"] * FILE_LINES + file["lines"]
    return _line(file, seq, datetime.now(UTC), "log", "warning", "tidemill.logs", message, {})


def _line(
    of: Row, seq: int, at: datetime, source: str, level: str, logger: str, message: str, fields: dict[str, Any]
) -> LogLine:
    return {
        "seq": seq,
        "stage": of["stage"],
        "item": None if of["item"] == WHOLE else of["item"],
        "attempt": of["attempt"],
        "at": at,
        "source": source,
        "level": level,
        "logger": logger,
        "message": message,
        "fields": fields,
    }
