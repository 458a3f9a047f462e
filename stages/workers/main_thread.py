"""The main thread of a worker as an executor: stages run in it, because signals reach no other thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class MainThread(Executor):
    """Runs in the thread that calls `serve` what other threads submit, one after the other."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `Executor`."""
        future: Future[T] = Future()
        self._work.put(partial(_run, future, partial(fn, *args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let `serve` return once it has done what was submitted."""
        self._work.put(None)

    def serve(self) -> None:
        """Do what is submitted until `shutdown`. An interrupt of the work is an interrupt of this."""
        while self._serve_one():
            pass

    def _serve_one(self) -> bool:
        """What was done, and all that came of it, is let go of before the wait for more."""
        work = self._work.get()
        if work is not None:
            work()
        return work is not None


def _run(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  # as every executor: it is raised where the result is awaited
        future.set_exception(error)
    else:
        future.set_result(result)
