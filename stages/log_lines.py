"""What an attempt tells, line by line, and who keeps it: the seam between runners and the daemon's logs."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import orjson

from stages.call import Call

Source = Literal["log", "stdout", "stderr"]

MOST_ROWS = 10_000
MOST_ROW_BYTES = 1 << 20
MESSAGE_LIMIT = 16_384
# Longer than what is kept: secrets are taken out first, and one that is cut in two would not be found.
CARRIED_LIMIT = 2 * MESSAGE_LIMIT
MOST_FIELDS = 32
FIELD_LIMIT = 1000
FIELDS_LIMIT = 8192

_OF_EVERY_RECORD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
# What `str`, `repr` and `%` raise when somebody else's object or format is at fault. Who logs must not fail for it.
_THEIRS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_PLAIN = logging.Formatter()


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: a record of logging, or a line of stdout or stderr. `at` is seconds since 1970."""

    at: float
    source: Source
    level: str
    logger: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)


class AttemptLines(Protocol):
    """The log of one attempt. Called from any thread."""

    @property
    def is_live(self) -> bool:
        """Whether lines are still few enough to be stored one by one, and to stand in the daemon's own log."""

    @property
    def is_spent(self) -> bool:
        """Whether nothing more is kept: `drop` instead of `add`."""

    def add(self, line: LogLine) -> None:
        """Keep a line, masked, or count it as dropped."""

    def drop(self, lines: int, size_bytes: int) -> None:
        """Count what was not kept."""

    def mask(self, value: str) -> None:
        """Never show this value from now on."""


class Logs(Protocol):
    """Where attempts log to."""

    def of(self, call: Call) -> AttemptLines:
        """The log of an attempt that is under way."""


class Allowance:
    """How much of an attempt may be stored one by one."""

    def __init__(self, lines: int = MOST_ROWS, size_bytes: int = MOST_ROW_BYTES) -> None:
        self._lines = lines
        self._bytes = size_bytes

    @property
    def spent(self) -> bool:
        """Whether nothing more is taken."""
        return self._lines <= 0 or self._bytes <= 0

    def take(self, size_bytes: int) -> bool:
        """Whether one more line is kept."""
        if self.spent:
            return False
        self._lines -= 1
        self._bytes -= size_bytes
        return True


class Passing:
    """The log of an attempt outside any daemon: what is live is shown by whoever asks, and nothing is kept."""

    is_live = True
    is_spent = False

    def __init__(self, hide: Callable[[str], None] = lambda value: None) -> None:
        self._hide = hide
        self._allowance = Allowance()
        self.dropped_lines = 0

    def add(self, line: LogLine) -> None:
        """Count it: beyond the allowance nothing is live."""
        if not self._allowance.take(len(line.message)):
            self.drop(1, len(line.message))
        self.is_spent = self._allowance.spent
        self.is_live = not self.is_spent

    def drop(self, lines: int, size_bytes: int) -> None:
        """See `AttemptLines`."""
        self.dropped_lines += lines

    def mask(self, value: str) -> None:
        """See `AttemptLines`."""
        self._hide(value)


class NoLogs:
    """For a runner outside any daemon. `hide` hears what is to be masked."""

    def __init__(self, hide: Callable[[str], None] = lambda value: None) -> None:
        self._hide = hide

    def of(self, call: Call) -> Passing:
        """See `Logs`."""
        return Passing(self._hide)


def line_of(record: logging.LogRecord) -> LogLine:
    """A record of logging as a line; a traceback becomes part of its message."""
    level = record.levelname.lower()
    return LogLine(record.created, "log", level, record.name, text_of(record), fields_of(record))


def text_of(record: logging.LogRecord) -> str:
    """The record's text. One whose arguments do not fit its format is told as it was given."""
    try:
        text = _PLAIN.format(record)
    except _THEIRS as error:
        text = f"{record.msg!s} (its arguments do not fit: {type(error).__name__})"
    return text[:CARRIED_LIMIT]


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What was given as `extra`, as JSON takes it and of bounded size."""
    extra = {name: value for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD}
    fields: dict[str, Any] = {}
    left_bytes = FIELDS_LIMIT
    for name, value in list(extra.items())[:MOST_FIELDS]:
        told = _bounded(value)
        left_bytes -= len(name) + len(orjson.dumps(told))
        if left_bytes < 0:
            break
        fields[clean(str(name)[:FIELD_LIMIT])] = told
    return fields


def clean(text: str) -> str:
    """Text that Postgres and JSON take: neither NUL nor lone surrogates."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\ufffd")


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, and a word where there were more."""
    return text if len(text) <= limit else f"{text[:limit]} ... (cut)"


def _bounded(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) < 2**53:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, Mapping | list | tuple):
        return _nested(value)
    return _as_text(value)


def _nested(value: Any) -> Any:
    """A list or mapping as it is where JSON takes it and it is small, else its text."""
    try:
        packed = orjson.dumps(value)
    except _THEIRS:
        return _as_text(value)
    return orjson.loads(packed) if len(packed) <= FIELD_LIMIT else cut(clean(packed.decode()), FIELD_LIMIT)


def _as_text(value: Any) -> str:
    try:
        return cut(clean(str(value)), FIELD_LIMIT)
    except _THEIRS as error:
        return f"<{type(value).__name__}: {type(error).__name__}>"
