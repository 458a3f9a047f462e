"""What a worker logs and prints, put into the daemon's logging as the attempt's own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stages.call import Call
from stages.invoke import current_attempt
from stages.workers.lines import DROPPED, Allowance
from stages.workers.wire import Message, to_text


class AttemptLog:
    """The log of one attempt. What it prints counts against an allowance; what it logs was counted in the worker.

    `mute` is called once the allowance is spent.
    """

    def __init__(self, pipeline: str, call: Call, mute: Callable[[], None]) -> None:
        self._call = call
        self._mute = mute
        self._allowance = Allowance()
        self._logger = f"tidemill.stage.{pipeline}.{call.stage}"

    def logged(self, message: Message) -> None:
        """Handle a record of the worker as if it had been logged here."""
        head = message.head
        record = logging.makeLogRecord(
            {
                "name": head["name"],
                "levelno": head["level"],
                "levelname": logging.getLevelName(head["level"]),
                "created": head["created"],
                "msg": to_text(message.body),
            }
        )
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            with self._own():
                logger.handle(record)

    def printed(self, stream: str, line: str, size_bytes: int) -> None:
        """Log a line of stdout or stderr."""
        if self._allowance.take(size_bytes):
            with self._own():
                logging.getLogger(f"{self._logger}.{stream}").info("%s", line)
        elif self._allowance.first_refusal():
            with self._own():
                logging.getLogger(self._logger).warning(DROPPED)
            self._mute()

    @contextmanager
    def _own(self) -> Iterator[None]:
        mark = current_attempt.set(self._call)
        try:
            yield
        finally:
            current_attempt.reset(mark)
