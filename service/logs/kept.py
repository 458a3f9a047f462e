"""The log of one attempt: its first lines go to Postgres, more of them to a spool, and the rest is counted."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

import orjson

from service.db.stage_logs import LogRow, Place
from service.logs.queue import LogQueue
from service.logs.spool import Spool, SpoolFolder
from stages.key_lines import KeyLines
from stages.log_lines import MESSAGE_LIMIT, Allowance, LogLine, Source, clean, cut
from stages.secrets import MASK, Secrets

ROW_BYTES = 100
"""What a line costs beside its text."""
LAST_SECOND = 4e9
NAME_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Rest:
    """What of an attempt's log is not in Postgres once it has ended."""

    spool: Spool | None
    dropped_lines: int
    dropped_bytes: int


class KeptLog:
    """Implements `stages.log_lines.AttemptLines`. Its order is kept: once a line went to the spool, so does the next.

    It takes no line after `end`: an inline stage whose time ran out may still be at work in its thread. `shown_keys` is
    for whoever shows its lines elsewhere.
    """

    def __init__(self, place: Place, secrets: Secrets, queue: LogQueue, folder: SpoolFolder) -> None:
        self.place = place
        self.secrets = secrets
        self.shown_keys = KeyLines()
        self._keys = KeyLines()
        self._queue = queue
        self._folder = folder
        # Not a plain lock: whatever collects garbage in the middle of this may log.
        self._guard = threading.RLock()
        self._allowance = Allowance()
        self._rows = 0
        self._spool: Spool | None = None
        self._dropped_lines = 0
        self._dropped_bytes = 0
        self._live = True
        self._spent = False
        self._ended = False

    @property
    def is_live(self) -> bool:
        """See `AttemptLines`."""
        return self._live and not self._ended

    @property
    def is_spent(self) -> bool:
        """See `AttemptLines`."""
        return self._spent or self._ended

    @property
    def has_ended(self) -> bool:
        """Whether its attempt is over."""
        return self._ended

    def add(self, line: LogLine) -> None:
        """See `AttemptLines`."""
        kept = self._safe(line)
        packed = orjson.dumps(_plain(kept))
        with self._guard:
            if self._ended:
                return
            if self._live and self._put(kept, len(packed)):
                return
            self._live = False
            if self._spent or not self._to_spool(packed):
                self._spent = True
                self.drop(1, len(packed))

    def drop(self, lines: int, size_bytes: int) -> None:
        """See `AttemptLines`."""
        with self._guard:
            self._dropped_lines += lines
            self._dropped_bytes += size_bytes

    def mask(self, value: str) -> None:
        """See `AttemptLines`."""
        self.secrets.add(clean(value))

    def end(self) -> Rest:
        """Take no more."""
        with self._guard:
            self._ended = True
            if self._spool is not None:
                self._spool.close()
            return Rest(self._spool, self._dropped_lines, self._dropped_bytes)

    def last_row(self, message: str) -> LogRow:
        """A line of the daemon's own, after all others."""
        return self._row(LogLine(time.time(), "log", "warning", "tidemill.logs", message))

    def _put(self, line: LogLine, size_bytes: int) -> bool:
        if self._allowance.spent or not self._queue.put(self._row(line), size_bytes + ROW_BYTES):
            return False
        self._rows += 1
        self._allowance.take(size_bytes)
        self._live = not self._allowance.spent
        return True

    def _row(self, line: LogLine) -> LogRow:
        return LogRow(self.place, self._rows, line)

    def _to_spool(self, packed: bytes) -> bool:
        if self._spool is None:
            self._spool = self._folder.new(self.place)
        return self._spool is not None and self._spool.add(packed)

    def _safe(self, line: LogLine) -> LogLine:
        """Without secrets, in what Postgres and JSON take, and not too long. Secrets first: half of one is one too."""
        return replace(
            line,
            at=line.at if 0 < line.at < LAST_SECOND else time.time(),
            level=clean(line.level)[:NAME_LIMIT],
            logger=clean(line.logger)[:NAME_LIMIT],
            message=cut(self._without_secrets(line.source, clean(line.message)), MESSAGE_LIMIT),
            fields=self.secrets.mask_fields(line.fields) if line.fields else line.fields,
        )

    def _without_secrets(self, source: Source, message: str) -> str:
        with self._guard:
            hidden = self._keys.hides(source, message)
        return MASK if hidden else self.secrets.mask(message)


def _plain(line: LogLine) -> dict[str, object]:
    plain = dict[str, object](at=line.at, source=line.source, level=line.level, logger=line.logger)
    plain["message"] = line.message
    return {**plain, "fields": dict(line.fields)} if line.fields else plain
