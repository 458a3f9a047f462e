"""What a worker logs and prints, kept as the attempt's own, and shown in the daemon's log while it is little."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stages.call import Call
from stages.invoke import current_attempt
from stages.log_lines import AttemptLines, LogLine, Source
from stages.workers.wire import Message, to_text

# Reading costs the daemon what printing costs the stage: beyond this nobody even counts.
COUNTED_LINES = 1_000_000
COUNTED_BYTES = 256 << 20

Mute = Callable[[str], None]


class AttemptLog:
    """The log of one attempt. `mute` is told what the worker need no longer send: `log` or `print`."""

    def __init__(self, pipeline: str, call: Call, lines: AttemptLines, mute: Mute) -> None:
        self._call = call
        self._lines = lines
        self._mute = mute
        self._muted: set[str] = set()
        self._counted_lines = 0
        self._counted_bytes = 0
        self._logger = f"tidemill.stage.{pipeline}.{call.stage}"

    def heard(self, message: Message) -> None:
        """Take a `log` of the worker as if it had been logged here; a `dropped` tells how much it did not send."""
        head = message.head
        if message.kind == "dropped":
            self._lines.drop(head["lines"], head["size_bytes"])
            return
        if not nearest_logger(head["name"]).isEnabledFor(head["level"]):
            return
        level = logging.getLevelName(head["level"]).lower()
        line = LogLine(head["created"], "log", level, head["name"], to_text(message.body), head["fields"])
        self._take(line, head["level"])
        if self._lines.is_spent:
            self._mute_once("log")

    def printed(self, stream: str, line: str, size_bytes: int) -> None:
        """Take a line of stdout or stderr, or count it once nothing more is kept."""
        if not self._lines.is_spent:
            source: Source = "stderr" if stream == "stderr" else "stdout"
            self._take(LogLine(time.time(), source, "info", f"{self._logger}.{source}", line), logging.INFO)
            return
        self._lines.drop(1, size_bytes)
        self._counted_lines += 1
        self._counted_bytes += size_bytes
        if self._counted_lines > COUNTED_LINES or self._counted_bytes > COUNTED_BYTES:
            self._mute_once("print")

    def mask(self, value: str) -> None:
        """See `AttemptLines`."""
        self._lines.mask(value)

    def _take(self, line: LogLine, level: int) -> None:
        live = self._lines.is_live
        self._lines.add(line)
        if live:
            self._show(line, level)

    def _show(self, line: LogLine, level: int) -> None:
        """Let the daemon's own log have it. `kept`: it is in the attempt's log already, under this source."""
        record = {"name": line.logger, "levelno": level, "levelname": line.level.upper(), "created": line.at}
        record |= {"msg": line.message, "kept": line.source}
        with self._own():
            nearest_logger(line.logger).handle(logging.makeLogRecord(record))

    def _mute_once(self, what: str) -> None:
        if what not in self._muted:
            self._muted.add(what)
            self._mute(what)

    @contextmanager
    def _own(self) -> Iterator[None]:
        mark = current_attempt.set(self._call)
        try:
            yield
        finally:
            current_attempt.reset(mark)


def nearest_logger(name: str) -> logging.Logger:
    """The logger of this name, or the one above it whose handlers and level it would have.

    None is made: stages make up names, and a logger stays for as long as the daemon.
    """
    known = logging.Logger.manager.loggerDict
    while name:
        if isinstance(found := known.get(name), logging.Logger):
            return found
        name = name.rpartition(".")[0]
    return logging.getLogger()
