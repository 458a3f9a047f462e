"""The process runner: stages in warm worker processes, which can be stopped, limited and lost without harm."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stages.call import Call
from stages.cost import Cost
from stages.errors import NoWorker
from stages.outcome import Failed, Lost, Outcome, record_of
from stages.plan import PlanStage
from stages.result import from_json
from stages.runners.base import RunnerTools, out_of_reach, timed_out
from stages.workers.attempt_log import AttemptLog
from stages.workers.lent import answer
from stages.workers.process import Heard, WorkerLost, WorkerProcess
from stages.workers.wire import Message, pack, to_text

logger = logging.getLogger("tidemill.executor")

LOAD_S = 120.0
GRACE_S = 2.0


class ProcessRunner:
    """Keeps up to `RunnerTools.threads` workers, started when first needed and kept for the next attempt.

    An attempt has a worker to itself. One that runs out of time or is cancelled takes its process with it.
    """

    def __init__(self, tools: RunnerTools) -> None:
        self._tools = tools
        self._slots = asyncio.Semaphore(tools.threads)
        self._idle: list[WorkerProcess] = []
        self._busy: set[WorkerProcess] = set()

    async def run(self, stage: PlanStage, call: Call) -> Outcome:
        """See `Runner`. The time of an attempt counts from when a worker has loaded its pipeline."""
        refusal = out_of_reach(stage, self._tools)
        if refusal is not None:
            return Failed(record_of(NoWorker(refusal)))
        async with self._slots:
            worker = await self._take(str(stage.spec), {one.digest for one in call.inputs.values()})
            lines = self._tools.logs.of(call)
            log = AttemptLog(stage.pipeline, call, lines, lambda what: worker.tell(pack("mute", what=what)))
            try:
                return await _Attempt(worker, stage, call, self._tools, log).run()
            except WorkerLost as lost:
                return Lost(str(lost))
            finally:
                if stage.stage.cpu_s is not None:
                    await worker.stop(GRACE_S)
                await self._give_back(worker)

    async def close(self) -> None:
        """See `Runner`."""
        async with asyncio.TaskGroup() as tasks:
            for worker in self._busy:
                tasks.create_task(worker.stop(0))
            while self._idle:
                tasks.create_task(self._idle.pop().stop(GRACE_S))

    async def prepare(self, stages: Sequence[PlanStage]) -> None:
        """Start `RunnerTools.warm` workers and have them load the pipelines of these stages."""
        first = {stage.spec: stage for stage in stages if out_of_reach(stage, self._tools) is None}
        if not first:
            return
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(self._tools.warm, self._tools.threads)):
                tasks.create_task(self._warm(list(first.values())))

    async def _warm(self, stages: Sequence[PlanStage]) -> None:
        """A pipeline that cannot be loaded says so when its first attempt is made."""
        async with self._slots:
            worker = WorkerProcess()
            self._busy.add(worker)
            try:
                for stage in stages:
                    await load(worker, stage, self._tools)
            except WorkerLost as lost:
                logger.warning("a worker could not be started ahead: %s", lost)
            finally:
                await self._give_back(worker)

    async def _take(self, spec: str, inputs: Collection[str]) -> WorkerProcess:
        """Of the workers that have loaded the pipeline, the one that holds most of the inputs, or was used last.

        Where none is free, any other worker, else a new one.
        """
        gone = [worker for worker in self._idle if not worker.is_idle]
        self._idle = [worker for worker in self._idle if worker.is_idle]
        for worker in gone:
            await worker.stop(0)
        ready = [worker for worker in self._idle if spec in worker.loaded] or self._idle
        worker = max(reversed(ready), key=partial(_held_bytes, inputs), default=None) or WorkerProcess()
        if ready:
            self._idle.remove(worker)
        self._busy.add(worker)
        return worker

    async def _give_back(self, worker: WorkerProcess) -> None:
        if not worker.is_idle:
            await worker.stop(GRACE_S)
        self._busy.discard(worker)
        if worker.is_idle:
            self._idle.append(worker)


@dataclass(slots=True)
class _Attempt:
    """One attempt in one worker."""

    worker: WorkerProcess
    stage: PlanStage
    call: Call
    tools: RunnerTools
    log: AttemptLog
    replies: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self) -> Outcome:
        """Have the pipeline loaded, and the attempt made. Raises `WorkerLost`."""
        self.worker.printed = self.log.printed
        failure = await load(self.worker, self.stage, self.tools, self.log.heard)
        if failure is not None:
            return failure
        async with asyncio.TaskGroup() as tasks:
            try:
                return await self._make(tasks)
            finally:
                # The stage's own `finally` may still ask for something.
                if not self.worker.is_idle:
                    await self.worker.stop(GRACE_S)
                for reply in self.replies:
                    reply.cancel()

    async def _make(self, tasks: asyncio.TaskGroup) -> Outcome:
        try:
            async with asyncio.timeout(self.call.timeout_s):
                self.tools.began(self.call)
                done = await self.worker.ask(self._packed(), partial(self._heard, tasks))
        except TimeoutError:
            return timed_out(self.call.timeout_s)
        except WorkerLost as lost:
            return Lost(str(lost))
        self.tools.spent(self.call, Cost(**done.head["spent"]))
        return from_json(done.body)

    def _packed(self) -> bytes:
        return pack(
            "call",
            self.call.to_json(),
            spec=self.stage.spec,
            code=self.stage.code_digest,
            registry=self.tools.registry is not None,
            reader=self.tools.reader is not None,
        )

    def _heard(self, tasks: asyncio.TaskGroup, message: Message) -> None:
        if message.kind in ("log", "dropped"):
            self.log.heard(message)
        elif message.kind == "progress":
            self.tools.report(self.call, message.head["fraction"], to_text(message.body))
        elif message.head["what"] == "mask":
            self.log.mask(message.head["given"]["value"])
            self.worker.tell(pack("answer", number=message.head["number"]))
        else:
            self.replies.append(tasks.create_task(self._reply(message)))

    async def _reply(self, question: Message) -> None:
        self.worker.tell(await answer(question, self.tools))


async def load(
    worker: WorkerProcess, stage: PlanStage, tools: RunnerTools, heard: Heard = lambda message: None
) -> Outcome | None:
    """Have the pipeline of a stage loaded, in a process that is started if need be. Raises `WorkerLost`."""
    spec = str(stage.spec)
    if spec in worker.loaded:
        return None
    try:
        async with asyncio.timeout(LOAD_S):
            if not worker.is_idle:
                await worker.start()
            path, levels = [*map(str, sys.path)], log_levels()
            how: dict[str, Any] = {"store": tools.store_url, "path": path, "levels": levels}
            how["kept_bytes"] = tools.kept_bytes
            done = await worker.ask(pack("load", spec=spec, **how), heard)
    except TimeoutError:
        raise WorkerLost(f"the worker did not load {spec} within {LOAD_S:g} s") from None
    if done.body:
        return from_json(done.body)
    worker.loaded.add(spec)
    return None


def _held_bytes(digests: Collection[str], worker: WorkerProcess) -> int:
    return sum(size_bytes for digest, size_bytes in worker.holds.items() if digest in digests)


def log_levels() -> dict[str, int]:
    """Every level that was set in this process, by the name of its logger."""
    loggers = {name: one for name, one in logging.root.manager.loggerDict.items() if isinstance(one, logging.Logger)}
    return {"": logging.root.level, **{name: one.level for name, one in loggers.items() if one.level}}


def make(tools: RunnerTools) -> ProcessRunner:
    """The runner under the name of this module."""
    return ProcessRunner(tools)
