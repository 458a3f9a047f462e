"""Carries what a stage logs from Python's logging to the run it belongs to."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from service.db.notes import PutLogLine
from service.db.writer import Writer
from stages.invoke import current_attempt

MESSAGE_LIMIT = 16_384


STAGES = "tidemill.stage"


class StageLogHandler(logging.Handler):
    """Stores the records logged inside an attempt, from whichever thread, with the next flush."""

    def __init__(self, writer: Writer, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(logging.INFO)
        self._writer = writer
        self._loop = loop

    def attach(self) -> None:
        """Begin to hear what stages log."""
        logging.getLogger(STAGES).setLevel(logging.INFO)
        logging.getLogger().addHandler(self)

    def detach(self) -> None:
        """Stop hearing."""
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Attribute by the context of the call; records of other code pass by."""
        attempt = current_attempt.get()
        if attempt is None or self._loop.is_closed():
            return
        line = PutLogLine(
            run_id=attempt.run_id,
            stage=attempt.stage,
            attempt=attempt.attempt,
            at=datetime.fromtimestamp(record.created, UTC),
            level=record.levelname.lower(),
            message=self.format(record)[:MESSAGE_LIMIT],
        )
        self._loop.call_soon_threadsafe(self._writer.later, line)
