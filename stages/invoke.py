"""Invoking a stage: resolve its arguments, call it, classify what went wrong, store what came out."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field, is_dataclass
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
from pydantic import BaseModel

from stages.artifacts import ArtifactRef, ArtifactStore
from stages.base import Mark, StageContext
from stages.call import WHOLE, Call
from stages.codecs.base import Payload, Scratch, encode
from stages.errors import InvalidCall, Permanent, Undecodable
from stages.kept import NOTHING, Copy, Kept
from stages.outcome import Outcome, Skipped, Succeeded, Waits, guarded
from stages.params import parse_params
from stages.plan import Argument, PlanStage, Source
from stages.records import Records, shaped
from stages.registry import Registry
from stages.shadow import Effect, ShadowRegistry, unsent
from stages.subrun import SubRun
from stages.values import keep, load, save
from triggers.base import RecordReader, range_of_event
from triggers.event import EMITTED, utc_now
from triggers.trace import continued

# Which attempt the code that runs right now belongs to; also set in the threads that blocking stages run in, so that
# a log handler can tell whose line it is.
current_attempt: ContextVar[Call | None] = ContextVar("current_attempt", default=None)

Report = Callable[[float, str], None]
Mask = Callable[[str], None]
T = TypeVar("T")
MOST_RETURNED = 1000
LARGEST = 1e308
Made = tuple[str, Payload, Copy | None] | Skipped | Waits


async def invoke(
    stage: PlanStage,
    call: Call,
    store: ArtifactStore,
    *,
    registry: Registry | None = None,
    reader: RecordReader | None = None,
    report: Report = lambda fraction, note: None,
    executor: Executor | None = None,
    mask: Mask = lambda value: None,
    began: Callable[[], None] = lambda: None,
    stopping: threading.Event | Mark | None = None,
    kept: Kept = NOTHING,
) -> Outcome:
    """Make one attempt. Whatever goes wrong in it is a `Failed`; only cancellation is raised.

    A blocking stage runs in a thread of `executor` (the loop's own if none). Cancelling does not stop that thread: its
    result is dropped. `stopping`, set at the latest then, is what it sees as `StageContext.cancelled`.
    What is `kept` of earlier attempts is not read again.
    """
    stopping, scratch = stopping or Mark(), Scratch()
    attempt = _Attempt(stage, call, store, registry, reader, report, executor, mask, began, scratch, stopping, kept)
    token = current_attempt.set(call)
    try:
        return await guarded(attempt.run(), stage.stage.retry.says_transient)
    except asyncio.CancelledError:
        stopping.set()
        raise
    finally:
        scratch.remove()
        current_attempt.reset(token)


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
    mask: Mask
    began: Callable[[], None]
    scratch: Scratch
    stopping: threading.Event | Mark
    kept: Kept
    returned: Mapping[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    emitted: list[Mapping[str, Any]] = field(default_factory=list)
    fenced: list[Effect] = field(default_factory=list)

    async def run(self) -> Outcome:
        arguments: dict[str, Any] = {}
        for one in self.stage.arguments:
            of_stage = one.source is Source.STAGE
            arguments[one.parameter] = await self._input(one) if of_stage else await self._resolved(one)
        what = f"stage {self.stage.name!r}"
        if self.stage.is_async:
            self.began()
            if (reason := unwanted(self.stage, arguments)) is not None:
                return Skipped(reason)
            value = await self.stage.stage.function(**arguments)
            if self.stopping.is_set():
                raise asyncio.CancelledError
            if isinstance(value, SubRun):
                return Waits(value)
            self.returned = metrics_of(value)
            return self._succeeded(await save(value, self.store, self.scratch, what=what))
        made = await self._in_thread(partial(self._call_and_encode, arguments, what))
        if isinstance(made, Skipped | Waits):
            return made
        label, payload, copy = made
        output = await keep(label, payload, self.store)
        self.kept.put(output, copy)
        return self._succeeded(output)

    def _call_and_encode(self, arguments: dict[str, Any], what: str) -> Made:
        self.began()
        if (reason := unwanted(self.stage, arguments)) is not None:
            return Skipped(reason)
        try:
            value = self.stage.stage.function(**arguments)
        except StopIteration as error:
            raise RuntimeError(f"{what} raised StopIteration") from error
        if isinstance(value, SubRun):
            return Waits(value)
        self.returned = metrics_of(value)
        label, payload = encode(value, self.scratch, what)
        return label, payload, self.kept.copy_of(value, label, payload)

    def _succeeded(self, output: ArtifactRef) -> Succeeded:
        metrics = {**self.returned, **self.metrics} if self.returned else self.metrics
        events = plain_events(self.stage, self.call, self.emitted)
        if self.call.shadow:
            events = (*self.fenced, *unsent(events))
        return Succeeded(output, plain_metrics(metrics), events)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, copy_context().run, work)

    async def _resolved(self, argument: Argument) -> Any:
        """What is no output of another stage."""
        match argument.source:
            case Source.EVENT:
                return self.call.event
            case Source.EVENTS:
                return list(self.call.all_events)
            case Source.PARAMS:
                return parse_params(self.stage.pipeline, self.stage.params_type, self.call.params)
            case Source.CONTEXT:
                return self._context()
            case Source.RECORDS:
                return await self._records(argument.wanted)
            case Source.ENDING:
                return self.call.ending
            case _:
                raise InvalidCall(f"nothing fills parameter {argument.parameter!r} of stage {self.stage.name!r}")

    async def _input(self, argument: Argument) -> Any:
        ref = self.call.inputs.get(argument.parameter)
        if ref is None and argument.optional:
            return None
        if ref is None:
            raise InvalidCall(f"the call gives stage {self.stage.name!r} no input {argument.parameter!r}")
        try:
            return await load(ref, self.store, argument.wanted, self.scratch, self.kept)
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
            registry=self._registry(),
            report=self.report,
            folder=self.scratch.place,
            item=None if self.call.item == WHOLE else self.call.item,
            mask=self.mask,
            stopping=self.stopping,
            shadow=self.call.shadow,
        )
        self.metrics, self.emitted = context.metrics, context.emitted
        return context

    def _registry(self) -> Registry | None:
        """The registry, which a run in shadow may only read."""
        if self.registry is None or not self.call.shadow:
            return self.registry
        return ShadowRegistry(self.registry, self.fenced.append)

    async def _records(self, wanted: Any) -> Any:
        event = self.call.event
        if self.reader is None:
            raise Permanent(f"stage {self.stage.name!r} takes Records, but this runner has no broker to read them from")
        try:
            offsets = range_of_event(event)
        except (KeyError, TypeError):
            raise Permanent(
                f"stage {self.stage.name!r} takes Records, but event {event.source} {event.id} is no micro-batch: "
                f"start the pipeline by KafkaBatches or another kind of micro-batches"
            ) from None
        records = Records(await self.reader.read(offsets), offsets.bad)
        if wanted is None:
            return records
        # Decoding a large batch takes its time.
        return await self._in_thread(partial(shaped, records, wanted))


def unwanted(stage: PlanStage, arguments: Mapping[str, Any]) -> str | None:
    """Why the stage need not run, by its own `when`; None where it must. Raises TypeError for what is no bool."""
    when = stage.stage.when
    if when is None:
        return None
    answer = when(**{name: arguments[name] for name in inspect.signature(when).parameters})
    wanted = answer.item() if hasattr(answer, "item") else answer
    if not isinstance(wanted, bool):
        raise TypeError(f"the `when` of stage {stage.name!r} returned a {type(answer).__name__}: return a bool")
    return None if wanted else "its `when` said no"


def plain_events(stage: PlanStage, call: Call, emitted: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """What a stage emitted, as CloudEvents in JSON format. Raises `Permanent` for data that JSON cannot hold."""
    if not emitted:
        return ()
    source = emitted_source(stage.pipeline, stage.name)
    cause = cause_of(call.run_id, stage.name, call.depth)
    time = utc_now().isoformat()
    try:
        trace = continued(call.event.extensions, call.event.key.hex, f"{call.run_id}/{stage.name}")
        events = [{"specversion": "1.0", "source": source, "time": time, **trace, **one, **cause} for one in emitted]
        plain: list[Mapping[str, Any]] = orjson.loads(orjson.dumps(events))
    except TypeError as error:
        raise Permanent(f"stage {stage.name!r} emitted an event whose data are no plain JSON: {error}") from None
    return tuple(plain)


def cause_of(run_id: int, stage: str, depth: int) -> dict[str, str | int]:
    """The extension attributes that tell which run caused an event. (An Integer of CloudEvents holds 32 bits.)"""
    return {"tidemillrun": str(run_id), "tidemillstage": stage, "tidemilldepth": depth + 1}


def emitted_source(pipeline: str, stage: str) -> str:
    """The source of the events a stage emits."""
    return f"{EMITTED}{quote(pipeline, safe='')}/{quote(stage, safe='')}"


def metrics_of(value: Any) -> Mapping[str, float]:
    """The numbers under `metrics` of plain data that a stage returned: they count as if it had recorded them."""
    if value is None:
        return {}
    if isinstance(value, Mapping):
        found = value.get("metrics")
    elif isinstance(value, BaseModel) or (is_dataclass(value) and not isinstance(value, type)):
        found = getattr(value, "metrics", None)
    else:
        return {}
    if not isinstance(found, Mapping) or len(found) > MOST_RETURNED:
        return {}
    return {name: number for name, number in found.items() if isinstance(name, str) and _is_number(number)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST


def plain_metrics(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics as they are stored: text to number. Raises `Permanent` naming one that is not."""
    plain = {}
    for name, value in metrics.items():
        try:
            plain[str(name).encode().decode()] = float(value)
        except (TypeError, ValueError, OverflowError):
            raise Permanent(f"metric {name!r} is {type(value).__name__}: a metric is a number with a name") from None
    return plain
