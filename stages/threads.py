"""Threads for blocking stages: a bounded number, of which one that nobody waits for any more loses its place."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# More than this many abandoned threads for each place, and none is replaced: the process would drown in them.
ABANDONED_FOR_EACH = 4


class _Work(Future[Any]):
    """One piece of work. Cancelling it while it runs abandons the thread that it runs in."""

    def __init__(self, work: Callable[[], Any], abandon: Callable[[_Work], None]) -> None:
        super().__init__()
        self.work = work
        self._abandon = abandon

    def cancel(self) -> bool:
        """See `Future`."""
        cancelled = super().cancel()
        if not cancelled and self.running():
            self._abandon(self)
        return cancelled


class StageThreads:
    """At most `places` threads that somebody waits for. They end with the process, whatever they are doing."""

    def __init__(self, places: int, *, name: str) -> None:
        self._places = places
        self._name = name
        self._lock = threading.Condition()
        self._waiting: deque[_Work] = deque()
        self._abandoned: set[_Work] = set()
        self._threads = 0
        self._idle = 0
        self._closed = False

    @property
    def abandoned(self) -> int:
        """Threads that still work though nobody waits for them."""
        return len(self._abandoned)

    def telling(self, abandoned: Callable[[], None]) -> Executor:
        """An executor on these threads that says when one of its own is abandoned."""
        return _Telling(self, abandoned)

    def submit(self, work: Callable[[], Any], abandoned: Callable[[], None]) -> Future[Any]:
        """Have a thread do it."""
        one = _Work(work, partial(self._abandon, abandoned))
        with self._lock:
            if self._closed:
                raise RuntimeError("the runner is closed")
            self._waiting.append(one)
            self._staff()
        return one

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let idle threads end, and those at work once they are done."""
        with self._lock:
            self._closed = True
            if cancel_futures:
                while self._waiting:
                    self._waiting.popleft().cancel()
            self._lock.notify_all()

    def _staff(self) -> None:
        """Wake a thread for what waits, or start one if there is a place."""
        kept = min(len(self._abandoned), self._places * ABANDONED_FOR_EACH)
        if self._idle >= len(self._waiting):
            self._lock.notify()
        elif self._threads - kept < self._places:
            self._threads += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._threads}", daemon=True).start()

    def _abandon(self, tell: Callable[[], None], one: _Work) -> None:
        with self._lock:
            if one.done():
                return
            self._abandoned.add(one)
            if self._waiting:
                self._staff()
        tell()

    def _serve(self) -> None:
        while (one := self._next()) is not None:
            if one.set_running_or_notify_cancel():
                _do(one)
            with self._lock:
                if one in self._abandoned:
                    self._abandoned.discard(one)
                    break
        with self._lock:
            self._threads -= 1
            if self._waiting and not self._closed:
                self._staff()

    def _next(self) -> _Work | None:
        with self._lock:
            while not self._waiting:
                if self._closed:
                    return None
                self._idle += 1
                self._lock.wait()
                self._idle -= 1
            return self._waiting.popleft()


class _Telling(Executor):
    def __init__(self, threads: StageThreads, abandoned: Callable[[], None]) -> None:
        self._threads = threads
        self._abandoned = abandoned

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._threads.submit(partial(fn, *args, **kwargs), self._abandoned)


def _do(one: _Work) -> None:
    try:
        result = one.work()
    except BaseException as error:  # noqa: BLE001  # as every executor: it is raised where the result is awaited
        one.set_exception(error)
    else:
        one.set_result(result)
