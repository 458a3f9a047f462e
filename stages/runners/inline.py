"""The inline runner: async stages on the loop, blocking ones in a thread of this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

from stages.base import Mark
from stages.call import Call
from stages.invoke import invoke
from stages.outcome import Outcome
from stages.plan import PlanStage
from stages.registry import Fenced
from stages.runners.base import RunnerTools, timed_out
from stages.threads import StageThreads

STAGE_THREADS = "tidemill-stage"

logger = logging.getLogger("tidemill.executor")


class InlineRunner:
    """Quickest, and least protected: a blocking stage that is cancelled keeps its thread until it returns.

    Such a thread is abandoned: another takes its place, and its stage sees `StageContext.cancelled`.
    """

    def __init__(self, tools: RunnerTools) -> None:
        self._tools = tools
        self._threads = StageThreads(tools.threads, name=STAGE_THREADS)
        self._warned: set[tuple[str, str]] = set()

    @property
    def abandoned(self) -> int:
        """Threads whose stages still run though nobody waits for them."""
        return self._threads.abandoned

    async def prepare(self, stages: Sequence[PlanStage]) -> None:
        """See `OpenRunner`."""

    def run(self, stage: PlanStage, call: Call) -> Coroutine[Any, Any, Outcome]:
        """See `Runner`."""
        if stage.runs_through and not stage.takes_context and not stage.takes_records:
            made = invoke(stage, call, self._tools.store, began=partial(self._tools.began, call))
        else:
            made = self._stoppable(stage, call)
        return made if call.timeout_s is None else _in_time(made, call.timeout_s)

    def _stoppable(self, stage: PlanStage, call: Call) -> Coroutine[Any, Any, Outcome]:
        tools, stopping, over = self._tools, Mark(), Mark()
        made = invoke(
            stage,
            call,
            tools.store,
            registry=None if tools.registry is None else Fenced(tools.registry, over.is_set),
            reader=tools.reader,
            report=partial(tools.report, call),
            executor=self._threads.telling(partial(self._abandoned, stage, over)),
            began=partial(tools.began, call),
            mask=tools.logs.of(call).mask,
            stopping=stopping,
        )
        if stage.is_async and not stage.runs_through:
            made = tools.strays.run(made, stop=stopping.set, leave=partial(self._left, stage, over))
        return made

    async def close(self) -> None:
        """See `Runner`."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _abandoned(self, stage: PlanStage, over: Mark) -> None:
        over.set()
        self._warn(
            stage,
            "stage %r of pipeline %r was cancelled, and a thread cannot be stopped: it still runs; use "
            "runner='process', or have it end when StageContext.cancelled is true",
        )

    def _left(self, stage: PlanStage, over: Mark) -> None:
        over.set()
        self._warn(
            stage,
            "stage %r of pipeline %r was out of time or cancelled, and goes on all the same: what it does now is "
            "dropped; have it let asyncio.CancelledError through, or make it a plain function, which runs in a process",
        )

    def _warn(self, stage: PlanStage, message: str) -> None:
        """Say it once for each stage."""
        if (stage.pipeline, stage.name) not in self._warned:
            self._warned.add((stage.pipeline, stage.name))
            logger.warning(message, stage.name, stage.pipeline)


async def _in_time(made: Coroutine[Any, Any, Outcome], timeout_s: float) -> Outcome:
    try:
        async with asyncio.timeout(timeout_s):
            return await made
    except TimeoutError:
        return timed_out(timeout_s)


def make(tools: RunnerTools) -> InlineRunner:
    """The runner under the name of this module."""
    return InlineRunner(tools)
