"""The inline runner: async stages on the loop, blocking ones in a thread of this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from stages.call import Call
from stages.invoke import invoke
from stages.outcome import Outcome
from stages.plan import PlanStage
from stages.runners.base import RunnerTools, timed_out
from stages.threads import StageThreads

STAGE_THREADS = "tidemill-stage"

logger = logging.getLogger("tidemill.executor")


class InlineRunner:
    """Quickest, and least protected: a blocking stage that overruns its time keeps its thread until it returns.

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
        scope = asyncio.timeout(call.timeout_s)
        try:
            async with scope:
                return await invoke(
                    stage,
                    call,
                    self._tools.store,
                    registry=self._tools.registry,
                    reader=self._tools.reader,
                    report=partial(self._tools.report, call),
                    executor=self._threads.telling(partial(self._abandoned, stage)),
                    began=partial(self._tools.began, call),
                    mask=self._tools.logs.of(call).mask,
                )
        except TimeoutError:
            return timed_out(call.timeout_s)

    async def close(self) -> None:
        """See `Runner`."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _abandoned(self, stage: PlanStage) -> None:
        """Say it once for each stage."""
        if (stage.pipeline, stage.name) in self._warned:
            return
        self._warned.add((stage.pipeline, stage.name))
        logger.warning(
            "stage %r of pipeline %r was out of time or cancelled, and a thread cannot be stopped: it still runs; use "
            "runner='process', or have it end when StageContext.cancelled is true",
            stage.name,
            stage.pipeline,
        )


def make(tools: RunnerTools) -> InlineRunner:
    """The runner under the name of this module."""
    return InlineRunner(tools)
