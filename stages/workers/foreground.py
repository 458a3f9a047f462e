"""One attempt in this process: its stage in the main thread, where signals stop it, the rest on a loop beside it."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, Future
from functools import partial
from types import FrameType
from typing import Any

from stages.outcome import Outcome
from stages.workers.link import Stopped
from stages.workers.main_thread import MainThread

FAREWELL_S = 0.5
GRACE_S = 2.0

Work = Callable[[Executor, threading.Event], Awaitable[Outcome]]


class Foreground:
    """Makes one attempt. `work` makes it with an executor for what blocks, and the event that says it is stopping.

    `abandon` ends the process with what came of the attempt, where its stage clings to the main thread.
    """

    def __init__(self, work: Work, abandon: Callable[[Outcome], None]) -> None:
        self._work = work
        self._abandon = abandon
        self._main = MainThread()
        self._made: Future[Outcome] = Future()
        self._stopping = threading.Event()
        self._left = threading.Event()
        self._cancel: Callable[[], None] = lambda: None

    def run(self) -> Outcome:
        """Call it in the main thread. SIGTERM and SIGINT raise KeyboardInterrupt in the stage, and then here."""
        previous = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        beside = threading.Thread(target=self._beside, name="tidemill-beside", daemon=True)
        beside.start()
        try:
            self._main.serve()
        except KeyboardInterrupt:
            if not self._made.done():
                self._cancel()
                raise
        finally:
            self._left.set()
            beside.join(FAREWELL_S)
            for number, handler in previous.items():
                signal.signal(number, handler)
        return self._made.result()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()
        raise Stopped

    def _beside(self) -> None:
        # A signal that another thread took would not wake the main one.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            self._made.set_result(asyncio.run(self._drive()))
        except BaseException as error:  # noqa: BLE001  # it is raised where the result is awaited
            self._made.set_exception(error)
        self._main.shutdown()
        self._free_the_main_thread()

    async def _drive(self) -> Outcome:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        if task is not None:
            self._cancel = partial(_cancel, loop, task)
        return await self._work(self._main, self._stopping)

    def _free_the_main_thread(self) -> None:
        """A stage out of time is still in it: interrupt it, and leave it where it is when it does not end."""
        main = threading.main_thread().ident
        if self._left.wait(FAREWELL_S) or main is None:
            return
        signal.pthread_kill(main, signal.SIGTERM)
        if not self._left.wait(GRACE_S) and self._made.exception() is None:
            self._abandon(self._made.result())


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    loop.call_soon_threadsafe(task.cancel)
