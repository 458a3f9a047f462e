"""Invoking a stage: resolve its arguments, call it, classify what went wrong, store what came out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import Any, assert_never

from stages.artifacts import ArtifactStore
from stages.base import StageContext
from stages.call import Call
from stages.codecs.base import Payload, Scratch, encode
from stages.errors import InvalidCall, Permanent, Undecodable
from stages.outcome import Outcome, Succeeded, guarded
from stages.params import parse_params
from stages.plan import Argument, PlanStage, Source
from stages.records import Records
from stages.registry import Registry
from stages.values import keep, load, save
from triggers.base import OffsetRange, RecordReader

# Which attempt the code that runs right now belongs to; also set in the threads that blocking stages run in, so that
# a log handler can tell whose line it is.
current_attempt: ContextVar[Call | None] = ContextVar("current_attempt", default=None)

Report = Callable[[float, str], None]


async def invoke(
    stage: PlanStage,
    call: Call,
    store: ArtifactStore,
    *,
    registry: Registry | None = None,
    reader: RecordReader | None = None,
    report: Report = lambda fraction, note: None,
    executor: Executor | None = None,
) -> Outcome:
    """Make one attempt. Whatever goes wrong in it is a `Failed`; only cancellation is raised.

    A blocking stage runs in a thread of `executor` (the loop's own if none). Cancelling does not stop that thread: its
    result is dropped.
    """
    mark = current_attempt.set(call)
    try:
        with Scratch() as scratch:
            attempt = _Attempt(stage, call, store, registry, reader, report, executor, scratch)
            return await guarded(attempt.run())
    finally:
        current_attempt.reset(mark)


@dataclass(slots=True)
class _Attempt:
    """One attempt under way: resolve, call, store."""

    stage: PlanStage
    call: Call
    store: ArtifactStore
    registry: Registry | None
    reader: RecordReader | None
    report: Report
    executor: Executor | None
    scratch: Scratch
    metrics: dict[str, float] = field(default_factory=dict)

    async def run(self) -> Succeeded:
        arguments = {one.parameter: await self._resolved(one) for one in self.stage.arguments}
        what = f"stage {self.stage.name!r}"
        if self.stage.is_async:
            value = await self.stage.stage.function(**arguments)
            return Succeeded(await save(value, self.store, self.scratch, what=what), plain_metrics(self.metrics))
        label, payload = await self._in_thread(partial(self._call_and_encode, arguments, what))
        return Succeeded(await keep(label, payload, self.store), plain_metrics(self.metrics))

    def _call_and_encode(self, arguments: dict[str, Any], what: str) -> tuple[str, Payload]:
        try:
            value = self.stage.stage.function(**arguments)
        except StopIteration as error:
            raise RuntimeError(f"{what} raised StopIteration") from error
        return encode(value, self.scratch, what)

    async def _in_thread(self, work: Callable[[], tuple[str, Payload]]) -> tuple[str, Payload]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, copy_context().run, work)

    async def _resolved(self, argument: Argument) -> Any:
        match argument.source:
            case Source.STAGE:
                return await self._input(argument)
            case Source.EVENT:
                return self.call.event
            case Source.PARAMS:
                return parse_params(self.stage.pipeline, self.stage.params_type, self.call.params)
            case Source.CONTEXT:
                return self._context()
            case Source.RECORDS:
                return await self._records()
            case _:
                assert_never(argument.source)

    async def _input(self, argument: Argument) -> Any:
        ref = self.call.inputs.get(argument.parameter)
        if ref is None:
            raise InvalidCall(f"the call gives stage {self.stage.name!r} no input {argument.parameter!r}")
        try:
            return await load(ref, self.store, argument.wanted, self.scratch)
        except Undecodable as error:
            raise Undecodable(
                f"input {argument.parameter!r} of stage {self.stage.name!r}: {error}"
            ) from error.__cause__

    def _context(self) -> StageContext:
        context = StageContext(
            run_id=self.call.run_id,
            pipeline=self.stage.pipeline,
            stage=self.stage.name,
            attempt=self.call.attempt,
            idempotency_key=self.call.idempotency_key,
            artifact_digests={parameter: ref.digest for parameter, ref in self.call.inputs.items()},
            registry=self.registry,
            report=self.report,
            folder=self.scratch.place,
        )
        self.metrics = context.metrics
        return context

    async def _records(self) -> Records:
        event = self.call.event
        if self.reader is None:
            raise Permanent(f"stage {self.stage.name!r} takes Records, but this runner has no broker to read them from")
        try:
            offsets = OffsetRange.of(event)
        except (KeyError, TypeError):
            raise Permanent(
                f"stage {self.stage.name!r} takes Records, but event {event.source} {event.id} is no micro-batch: "
                f"start the pipeline by KafkaBatches"
            ) from None
        return Records(await self.reader.read(offsets))


def plain_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics as they are stored: text to number. Raises `Permanent` naming one that is not."""
    plain = {}
    for name, value in metrics.items():
        try:
            plain[str(name).encode().decode()] = float(value)
        except (TypeError, ValueError, OverflowError):
            raise Permanent(f"metric {name!r} is {type(value).__name__}: a metric is a number with a name") from None
    return plain
