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

    async def run(self, stage: PlanStage, call: Call) -> Outcome:
        """See `Runner`."""
        stopping, over = Mark(), Mark()
        made = self._made(stage, call, stopping, over)
        if stage.is_async and stage.awaits:
            made = self._tools.strays.run(made, stop=stopping.set, leave=partial(self._left, stage, over))
        if call.timeout_s is None:
            return await made
        try:
            async with asyncio.timeout(call.timeout_s):
                return await made
        except TimeoutError:
            return timed_out(call.timeout_s)

    def _made(self, stage: PlanStage, call: Call, stopping: Mark, over: Mark) -> Coroutine[Any, Any, Outcome]:
        registry = self._tools.registry
        return invoke(
            stage,
            call,
            self._tools.store,
            registry=None if registry is None else Fenced(registry, over.is_set),
            reader=self._tools.reader,
            report=partial(self._tools.report, call),
            executor=self._threads.telling(partial(self._abandoned, stage, over)),
            began=partial(self._tools.began, call),
            mask=self._tools.logs.of(call).mask,
            stopping=stopping,
        )

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


def make(tools: RunnerTools) -> InlineRunner:
    """The runner under the name of this module."""
    return InlineRunner(tools)
