"""Carries what a stage logs, and how far it says it is, to the run it belongs to."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from service.db.notes import PutLogLine
from service.db.writer import Writer
from stages.call import Call
from stages.invoke import current_attempt

MESSAGE_LIMIT = 16_384
PROGRESS_S = 1.0


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


class ProgressReports:
    """Stores what stages say through `StageContext.progress`, as lines of their log: at most one a second."""

    def __init__(self, writer: Writer, loop: asyncio.AbstractEventLoop) -> None:
        self._writer = writer
        self._loop = loop
        self._told_at: dict[tuple[int, str, int], float] = {}

    def __call__(self, call: Call, fraction: float, note: str) -> None:
        """Called from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell, call, fraction, note, datetime.now(UTC))

    def _tell(self, call: Call, fraction: float, note: str, at: datetime) -> None:
        attempt = (call.run_id, call.stage, call.attempt)
        now = self._loop.time()
        if fraction < 1 and now - self._told_at.get(attempt, 0.0) < PROGRESS_S:
            return
        self._told_at = {one: told for one, told in self._told_at.items() if now - told < PROGRESS_S} | {attempt: now}
        message = f"{fraction:.0%} {note}".rstrip()
        self._writer.later(PutLogLine(*attempt, at, "progress", message[:MESSAGE_LIMIT]))
