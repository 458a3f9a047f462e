"""Keeps what stages log: finds the attempt that a line belongs to, and stores its log when it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import threading

from service.db.stage_logs import Place, PutLogFile, place_of
from service.db.writer import Writer
from service.logs.kept import KeptLog, Rest
from service.logs.own import OwnLog
from service.logs.queue import LogQueue
from service.logs.spool import Spool, SpoolFolder, forget, pack
from stages.artifacts import ArtifactStore
from stages.call import Call
from stages.errors import StoreUnavailable
from stages.invoke import current_attempt
from stages.log_lines import MOST_ROWS, line_of, text_of
from stages.secrets import Secrets

logger = logging.getLogger("tidemill.logs")

STAGES = "tidemill.stage"
STORE_S = 60.0


class StageLogs:
    """The logs of all attempts of this process. Implements `stages.log_lines.Logs`."""

    def __init__(
        self,
        writer: Writer,
        loop: asyncio.AbstractEventLoop,
        store: ArtifactStore,
        folder: SpoolFolder,
        secrets: Secrets,
    ) -> None:
        self._writer = writer
        self._store = store
        self._folder = folder
        self.secrets = secrets
        self._queue = LogQueue(writer, loop)
        self._guard = threading.Lock()
        # None: nothing has been logged yet.
        self._open: dict[Place, KeptLog | None] = {}
        self._ended = KeptLog((0, "", 0, 0), secrets, self._queue, folder)
        self._ended.end()
        self._handler = StageLogHandler(self)
        self._own = OwnLog(secrets, self.of)

    def attach(self) -> None:
        """Begin to hear what stages log."""
        logging.getLogger(STAGES).setLevel(logging.INFO)
        self._own.attach()
        logging.getLogger().addHandler(self._handler)

    def detach(self) -> None:
        """Stop hearing."""
        logging.getLogger().removeHandler(self._handler)
        self._own.detach()
        self._folder.close()

    def of(self, call: Call) -> KeptLog:
        """See `Logs`. Of an attempt that has ended, one that takes nothing."""
        place = place_of(call)
        log = self._open.get(place, self._ended)
        return self._opened(place) if log is None else log

    def _opened(self, place: Place) -> KeptLog:
        """The log of an attempt that has something to log for the first time, unless it has ended meanwhile."""
        with self._guard:
            log = self._open.get(place, self._ended)
            if log is None:
                log = self._open[place] = KeptLog(place, self.secrets.and_more(), self._queue, self._folder)
            return log

    def begin(self, call: Call) -> Place:
        """Open the log of an attempt."""
        place = place_of(call)
        self._open[place] = None
        return place

    def end(self, place: Place) -> KeptLog | None:
        """Close the log of an attempt, if it has logged anything: `store` what it holds."""
        with self._guard:
            return self._open.pop(place, None)

    async def store(self, log: KeptLog) -> None:
        """See to it that what is written from now on, the attempt's result first of all, comes after its log."""
        rest = log.end()
        self._queue.push()
        if rest.spool is not None and rest.spool.lines:
            await self._store_spool(log, rest, rest.spool)
        elif rest.dropped_lines:
            self._queue.put(log.last_row(_dropped(rest)), 0)
            self._queue.push()

    async def take_in_leftovers(self) -> None:
        """Store what daemons that died had spooled."""
        for path in self._folder.leftovers():
            try:
                packed = await asyncio.to_thread(pack, path)
                digest = "" if packed is None else await self._store.put_file(packed.path)
            except (StoreUnavailable, OSError, ValueError) as error:
                logger.warning("what a dead daemon spooled in %s is not stored yet: %s", path, error)
                continue
            if packed is not None:
                await self._writer.submit(PutLogFile(packed.place, digest, packed.lines, packed.size_bytes))
                logger.info(
                    "stored %s lines that run %s left in the spool of a daemon that died", packed.lines, packed.place[0]
                )
            forget(path)

    async def _store_spool(self, log: KeptLog, rest: Rest, spool: Spool) -> None:
        try:
            async with asyncio.timeout(STORE_S):
                packed = await asyncio.to_thread(pack, spool.path)
                digest = "" if packed is None else await self._store.put_file(packed.path)
        except (StoreUnavailable, OSError, TimeoutError) as error:
            told = f"{spool.lines:,} more lines are not stored yet ({error or 'the store is slow'}): they are in"
            self._queue.put(log.last_row(f"{told} {spool.path} until a daemon starts there again"), 0)
            self._queue.push()
            return
        if packed is None:
            forget(spool.path)
            return
        last = log.last_row(_dropped(rest)) if rest.dropped_lines else None
        numbers = (packed.lines, packed.size_bytes, rest.dropped_lines)
        self._writer.later(PutLogFile(log.place, digest, *numbers, last=last, stored=lambda: forget(spool.path)))


class StageLogHandler(logging.Handler):
    """Takes the records logged inside an attempt, from whichever thread; records of other code pass by."""

    def __init__(self, logs: StageLogs) -> None:
        super().__init__(logging.INFO)
        self._logs = logs
        self._process = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        """Attribute by the context of the call. What runs in a process that a stage forked is not heard."""
        attempt = current_attempt.get()
        if attempt is None or hasattr(record, "kept") or os.getpid() != self._process:
            return
        log = self._logs.of(attempt)
        if log.is_spent:
            log.drop(1, len(text_of(record)))
        else:
            log.add(line_of(record))


def _dropped(rest: Rest) -> str:
    spooled = 0 if rest.spool is None else rest.spool.size_bytes
    kept = f"{MOST_ROWS:,} lines or 1 MiB of an attempt are kept at once, and {spooled / 1e6:,.1f} MB beside them"
    dropped = f"{rest.dropped_lines:,} more lines ({rest.dropped_bytes / 1e6:,.1f} MB) were dropped"
    return f"{dropped}: {kept} (executor.log_bytes)"
