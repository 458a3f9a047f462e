"""How a child tells its daemon what it logs and how far it is: lines of JSON on standard error (RFC 7464).

Each begins with the record separator, so that it is told apart from what the stage prints in between.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson

from stages.call import Call
from stages.cost import Cost
from stages.log_lines import line_of
from stages.workers.lines import LINE_BYTES
from stages.workers.link import PROGRESS_S

SEPARATOR = "\x1e"
STDERR = 2


class Telling(logging.Handler):
    """The child's side."""

    def __init__(self) -> None:
        super().__init__()
        self._next_s = 0.0
        self._latest: dict[str, Any] | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Tracebacks become part of the message."""
        line = line_of(record)
        head = {"kind": "log", "name": line.logger, "level": record.levelno, "created": line.at}
        self._tell(head | {"fields": line.fields, "message": line.message})

    def hide(self, value: str) -> None:
        """The daemon hears it on both outputs, before whatever is printed there from now on."""
        line = _packed({"kind": "mask", "message": value})
        for number, stream in ((1, sys.stdout), (STDERR, sys.stderr)):
            stream.flush()
            os.write(number, line)

    def begun(self) -> None:
        """The pipeline is loaded and the attempt begins."""
        self._tell({"kind": "begun"})

    def progress(self, call: Call, fraction: float, note: str) -> None:
        """Some twenty times a second at most; the last word is never lost."""
        self._latest = {"kind": "progress", "fraction": fraction, "message": note[:LINE_BYTES]}
        if time.monotonic() >= self._next_s:
            self.finish()

    def spent(self, cost: Cost) -> None:
        """The attempt is over."""
        self._tell({"kind": "spent", **asdict(cost)})

    def finish(self) -> None:
        """Tell the latest progress that was not told."""
        latest, self._latest = self._latest, None
        if latest is not None:
            self._tell(latest)
            self._next_s = time.monotonic() + PROGRESS_S

    def _tell(self, told: dict[str, Any]) -> None:
        line = _packed(told)
        while len(line) > LINE_BYTES:
            told["message"] = told["message"][: len(told["message"]) // 2]
            line = _packed(told)
        os.write(STDERR, line)


def _packed(told: Mapping[str, Any]) -> bytes:
    message = str(told.get("message", "")).encode("utf-8", "backslashreplace").decode()
    return SEPARATOR.encode() + orjson.dumps({**told, "message": message}) + b"\n"


def told_in(line: str) -> tuple[str, Mapping[str, Any] | None]:
    """The daemon's side: what was printed in a line before a message, and the message, if there is one."""
    printed, separator, rest = line.partition(SEPARATOR)
    if not separator:
        return line, None
    try:
        told = orjson.loads(rest)
    except orjson.JSONDecodeError:
        return line, None
    return (printed, told) if isinstance(told, dict) and "kind" in told else (line, None)
