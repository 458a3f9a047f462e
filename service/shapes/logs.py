"""What the API answers about logs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict


class LogLine(TypedDict):
    """One line of an attempt. `seq` is its place, for paging; `item` the place in the list of a mapped stage.

    `source` is `log`, `stdout` or `stderr`; `fields` is what was given as `extra`.
    """

    seq: int
    stage: str
    item: int | None
    attempt: int
    at: datetime
    source: str
    level: str
    logger: str
    message: str
    fields: dict[str, Any]


class LogsPage(TypedDict):
    """Oldest first. `next` goes into `after` for the lines that follow; null when there were no more yet."""

    lines: list[LogLine]
    next: int | None
