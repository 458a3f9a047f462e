"""Runs an author's coroutines, each in a task of its own, and leaves behind those that do not end when cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from stages.outcome import ErrorRecord, Failed

# How long a coroutine that is cancelled may clean up. Then it is cancelled once more: a library may have swallowed the
# first. What has not ended soon after that is left behind.
GRACE_S = 2.0
AGAIN_S = 0.5
# With so many left behind none is begun until one of them has ended: the process would drown in them.
MOST_LEFT = 1_000

T = TypeVar("T")


class Strays:
    """Owns the tasks, those left behind too. Enter it around everything that calls `run`; else nothing is left behind.

    Leaving it cancels whatever is still there, and waits for it; `give_up` is called, with the error that ends it all,
    when that has not ended within `patience_s`.
    """

    def __init__(
        self, give_up: Callable[[BaseException | None], None] = lambda error: None, patience_s: float = AGAIN_S
    ) -> None:
        self._give_up = give_up
        self._patience_s = patience_s
        self._group: asyncio.TaskGroup | None = None
        self._left: set[asyncio.Task[Any]] = set()
        self._fewer = asyncio.Event()

    @property
    def left(self) -> int:
        """How many still run though nobody waits for them."""
        return len(self._left)

    async def __aenter__(self) -> Strays:
        self._group = await asyncio.TaskGroup().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        group, self._group = self._group, None
        if group is None:
            return
        for task in self._left:
            task.cancel()
        giving_up = asyncio.get_running_loop().call_later(self._patience_s, self._give_up, error)
        try:
            await group.__aexit__(kind, error, at)
        finally:
            giving_up.cancel()

    async def run(
        self, work: Coroutine[Any, Any, T], *, stop: Callable[[], None], leave: Callable[[], None]
    ) -> T | Failed:
        """What `work` returns; it raises nothing, as what is `guarded`.

        When this is cancelled, so is `work`, after `stop` was called. If it goes on all the same, `leave` is called,
        and what it does from then on reaches nobody.
        """
        await self._room(work)
        if self._group is None:
            return await work
        task = self._group.create_task(work)
        ended = asyncio.get_running_loop().create_future()
        task.add_done_callback(partial(_tell, ended))
        try:
            await ended
        except asyncio.CancelledError:
            stop()
            await self._end(task, leave)
            raise
        return Failed(ErrorRecord("CancelledError", "it cancelled its own task")) if task.cancelled() else task.result()

    async def _room(self, work: Coroutine[Any, Any, Any]) -> None:
        """Wait until few enough are left behind."""
        try:
            while len(self._left) >= MOST_LEFT:
                self._fewer.clear()
                await self._fewer.wait()
        except asyncio.CancelledError:
            work.close()
            raise

    async def _end(self, task: asyncio.Task[Any], leave: Callable[[], None]) -> None:
        """Have a task end, or leave it behind. It has its time whoever else cancels us meanwhile: our caller raises."""
        loop = asyncio.get_running_loop()
        for patience_s in (GRACE_S, AGAIN_S):
            task.cancel()
            until = loop.time() + patience_s
            while not task.done() and (left_s := until - loop.time()) > 0:
                try:
                    await asyncio.wait((task,), timeout=left_s)
                except asyncio.CancelledError:
                    continue
        if not task.done():
            self._left.add(task)
            task.add_done_callback(self._forget)
            leave()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        self._fewer.set()


def _tell(ended: asyncio.Future[None], task: asyncio.Task[Any]) -> None:
    if not ended.done():
        ended.set_result(None)
