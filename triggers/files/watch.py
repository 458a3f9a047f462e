"""The quick eye: watchfiles says where something changed. What it says is a hint, and it is expected to fail.

Measured of watchfiles 1.3: it goes silent when its root is replaced, when its queue overflows, and for files in folders
made at once; a name that is not UTF-8 ends it. So: it is opened again, and scans cover what it missed.
"""

from __future__ import annotations

import errno
import logging
import stat
import threading
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from watchfiles import Change, watch

from triggers.base import Clock

logger = logging.getLogger("tidemill.files")

CHECK_S = 1.0
# A change is told once such a time has brought no other. watchfiles wakes up as often, also where nothing happens.
STEP_S = 0.05
RETRY_S = (0.1, 0.5, 1.0, 2.0, 5.0)
LIVED_LONG = timedelta(seconds=10)

T = TypeVar("T")


class InThread(Protocol):
    """Runs blocking work off the loop."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


class FileWatch:
    """Watches the folders `wanted` that exist, and keeps asking for the others.

    `changed` gets paths and how many changes they stand for; `opened` is called when a watch has started or ended, that
    is whenever something may have been missed. `trouble` tells why there is no watch now.
    """

    def __init__(
        self,
        wanted: Callable[[], Sequence[str]],
        changed: Callable[[set[str], int], None],
        opened: Callable[[], None],
        in_thread: InThread,
        clock: Clock,
    ) -> None:
        self._wanted = wanted
        self._changed = changed
        self._opened = opened
        self._in_thread = in_thread
        self._clock = clock
        self.trouble = ""

    async def run(self) -> None:
        """Watch until cancelled."""
        failures = 0
        while True:
            folders = await self._in_thread(partial(_existing, self._wanted()))
            if not folders:
                await self._clock.sleep(CHECK_S)
                continue
            began_at = self._clock.now()
            try:
                await self._watch(folders)
            except (OSError, UnicodeError, RuntimeError) as error:  # RuntimeError is how watchfiles reports its own
                self._failed(error)
                if self._clock.now() - began_at > LIVED_LONG:
                    failures = 0
                await self._clock.sleep(RETRY_S[min(failures, len(RETRY_S) - 1)])
                failures += 1

    def _failed(self, error: Exception) -> None:
        limit = any(f"os error {number}" in str(error) for number in (errno.ENOSPC, errno.EMFILE))
        advice = ": raise fs.inotify.max_user_watches and max_user_instances, or pass poll=True" if limit else ""
        trouble = f"watching ended ({error}): scanning until it works again{advice}"
        if trouble != self.trouble:
            logger.warning("%s", trouble)
        self.trouble = trouble
        self._opened()

    async def _watch(self, folders: Mapping[str, tuple[int, int]]) -> None:
        """Watch until one of the folders was replaced, or another one appeared."""
        stop = threading.Event()
        changes = _open(list(folders), stop)
        try:
            batch, now = await self._in_thread(partial(_next, changes, self._wanted))
            self.trouble = ""
            self._opened()
            while batch is not None:
                if batch:
                    self._changed({path for change, path in batch if change is not Change.deleted}, len(batch))
                if now != folders or any(change is Change.deleted and path in folders for change, path in batch):
                    await self._in_thread(changes.close)
                    self._opened()
                    return
                batch, now = await self._in_thread(partial(_next, changes, self._wanted))
        finally:
            stop.set()


Batch = set[tuple[Change, str]]


def _open(folders: list[str], stop: threading.Event) -> Generator[Batch, None, None]:
    return watch(
        *folders,
        watch_filter=None,
        debounce=400,
        step=int(STEP_S * 1000),
        stop_event=stop,
        rust_timeout=int(CHECK_S * 1000),
        yield_on_timeout=True,
        raise_interrupt=False,
        force_polling=False,
        ignore_permission_denied=True,
    )


def _next(
    changes: Generator[Batch, None, None], wanted: Callable[[], Sequence[str]]
) -> tuple[Batch | None, Mapping[str, tuple[int, int]]]:
    """The next changes (none: nothing happened for a second), and which folders exist by now."""
    return next(changes, None), _existing(wanted())


def _existing(folders: Sequence[str]) -> Mapping[str, tuple[int, int]]:
    """Those of `folders` that exist, with what tells a folder from another one of the same name."""
    existing = {}
    for folder in folders:
        try:
            status = Path(folder).stat()
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode):
            existing[folder] = (status.st_dev, status.st_ino)
    return existing
