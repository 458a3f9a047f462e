"""The inline runner: async stages on the loop, blocking ones in a thread of this process."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from stages.call import Call
from stages.invoke import invoke
from stages.outcome import ErrorRecord, Failed, Outcome
from stages.plan import PlanStage
from stages.runners.base import RunnerTools

STAGE_THREADS = "tidemill-stage"


class InlineRunner:
    """Quickest, and least protected: a blocking stage that overruns its time keeps its thread until it returns."""

    def __init__(self, tools: RunnerTools) -> None:
        self._tools = tools
        self._threads = ThreadPoolExecutor(tools.threads, thread_name_prefix=STAGE_THREADS)

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
                    executor=self._threads,
                    began=partial(self._tools.began, call),
                    mask=self._tools.logs.of(call).mask,
                )
        except TimeoutError:
            return Failed(ErrorRecord("TimeoutError", f"timed out after {call.timeout_s:g} s", transient=True))

    async def close(self) -> None:
        """See `Runner`."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def make(tools: RunnerTools) -> InlineRunner:
    """The runner under the name of this module."""
    return InlineRunner(tools)
