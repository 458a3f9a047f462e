"""What stages say through `StageContext.progress`: in their attempt's row, in its log, and as a sign of life."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from service.db.stage_logs import Place, PutProgress, place_of
from service.db.writer import Writer
from service.logs.stages import StageLogs
from stages.call import Call
from stages.log_lines import LogLine, clean, cut

PROGRESS_S = 1.0
NOTE_LIMIT = 500


@dataclass(slots=True)
class _Report:
    """What an attempt said last, what was stored of it, and whether the loop has still to look."""

    call: Call
    fraction: float
    note: str
    noticed: bool = False
    stored_at: float | None = None
    stored_note: str = ""
    timer: asyncio.TimerHandle | None = None


class ProgressReports:
    """Stores the latest report of each attempt, at most one a second. Called from any thread, as often as it likes."""

    def __init__(
        self, writer: Writer, loop: asyncio.AbstractEventLoop, logs: StageLogs, heard: Callable[[Call], None]
    ) -> None:
        self._writer = writer
        self._loop = loop
        self._logs = logs
        self._heard = heard
        self._guard = threading.Lock()
        self._reports: dict[Place, _Report] = {}

    def __call__(self, call: Call, fraction: float, note: str) -> None:
        """Take note; the loop looks once, however often this is called before it does."""
        if self._logs.of(call).has_ended:
            return
        with self._guard:
            report = self._reports.setdefault(place_of(call), _Report(call, fraction, note))
            report.fraction, report.note = fraction, note
            wake, report.noticed = not report.noticed, True
        if wake:
            with suppress(RuntimeError):  # the loop has been closed
                self._loop.call_soon_threadsafe(self._notice, report)

    def end(self, call: Call) -> None:
        """The attempt has ended: what it said last is not told any more."""
        if not self._reports:
            return
        with self._guard:
            report = self._reports.pop(place_of(call), None)
        if report is not None and report.timer is not None:
            report.timer.cancel()

    def _notice(self, report: _Report) -> None:
        with self._guard:
            report.noticed = False
            if self._reports.get(place_of(report.call)) is not report:
                return
        self._heard(report.call)
        now = self._loop.time()
        if report.stored_at is None or report.fraction >= 1 or now - report.stored_at >= PROGRESS_S:
            self._tell(report)
        elif report.timer is None:
            report.timer = self._loop.call_at(report.stored_at + PROGRESS_S, self._tell, report)

    def _tell(self, report: _Report) -> None:
        if report.timer is not None:
            report.timer.cancel()
            report.timer = None
        with self._guard:
            fraction, note = report.fraction, report.note
        log = self._logs.of(report.call)
        note = cut(log.secrets.mask(clean(note)), NOTE_LIMIT)
        report.stored_at = self._loop.time()
        if self._writer.outage is None:  # by the time that is over, this is out of date
            self._writer.later(PutProgress(place_of(report.call), fraction, note))
        if note != report.stored_note:
            report.stored_note = note
            log.add(LogLine(time.time(), "log", "progress", "tidemill.progress", f"{fraction:.0%} {note}".rstrip()))
