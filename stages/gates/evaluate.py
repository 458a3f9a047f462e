"""Asking a gate: its check is called where it blocks nobody, and whatever it answers becomes a result."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from stages.artifacts import ArtifactRef, ArtifactStore
from stages.codecs.base import Scratch
from stages.errors import StageError
from stages.gates.base import LONGEST_WAIT_S, Gate, GateContext, GateResult, GateState
from stages.gates.evidence import LIMIT_BYTES, bounded, plain_json
from stages.outcome import ErrorRecord, Failed, guarded
from stages.strays import Strays
from stages.threads import StageThreads
from stages.values import keep, load

logger = logging.getLogger("tidemill.executor")

CHECK_TIMEOUT_S = 600.0
# A check that hangs is abandoned with its thread, which ends with the process; others get another.
_THREADS = StageThreads(8, name="tidemill-gate")
MOST_REASON = 4000


async def evaluate(
    gate: Gate, evidence: GateContext, store: ArtifactStore | None = None, strays: Strays | None = None
) -> GateResult:
    """What `gate` finds, as it may be kept: too much evidence is shortened, and is whole in `store` then."""
    found = await ask(gate, evidence, strays)
    told = await asyncio.to_thread(plain_json, found.evidence)
    if len(told) <= LIMIT_BYTES:
        return found
    found = replace(found, evidence=bounded(told))
    return found if store is None else await _with_report(found, told, store)


async def ask(gate: Gate, evidence: GateContext, strays: Strays | None = None) -> GateResult:
    """What `gate` finds, with all its evidence as plain JSON. An async check runs among the `strays`.

    A check that raises has failed: an AssertionError by its message, anything else with the error as evidence (and
    whether it is transient). So has one that takes longer than `CHECK_TIMEOUT_S`.
    """
    found = await guarded(_plain_answer(gate, evidence, strays or Strays()))
    return _raised(gate, found.error) if isinstance(found, Failed) else found


async def output_for(gate: Gate, ref: ArtifactRef, store: ArtifactStore, wanted: Any, scratch: Scratch) -> Any:
    """The source's output as far as `gate` may look at it: plain data always, the rest where the gate asks for it.

    `wanted` is the type the source stage is annotated to return (`PlanStage.output_type`).
    """
    if gate.needs_output or ref.codec == "json":
        return await load(ref, store, wanted, scratch)
    return None


async def _plain_answer(gate: Gate, evidence: GateContext, strays: Strays) -> GateResult | Failed:
    answer = await _answer(gate, evidence, strays)
    if isinstance(answer, Failed):
        return answer
    if answer.expires_s is not None and not 0 < answer.expires_s < LONGEST_WAIT_S:
        raise ValueError(f"expires_s={answer.expires_s!r}: give seconds from now, or None for ever")
    reason = str(answer.reason).encode("utf-8", "replace").decode().replace("\0", "\ufffd")
    told: dict[str, Any] = orjson.loads(plain_json(answer.evidence))
    return replace(answer, reason=reason[:MOST_REASON], evidence=told, report=None)


async def _with_report(found: GateResult, told: bytes, store: ArtifactStore) -> GateResult:
    """With all the evidence as an artifact; where the store does not take it, the evidence says why."""
    try:
        report = await keep("json", told, store)
    except StageError as error:
        return replace(found, evidence={**found.evidence, "report": f"could not be stored: {error}"})
    return replace(found, evidence={**found.evidence, "report": report.digest}, report=report)


async def _answer(gate: Gate, evidence: GateContext, strays: Strays) -> GateResult | Failed:
    loop, threads = asyncio.get_running_loop(), _THREADS.telling(lambda: None)
    async with asyncio.timeout(CHECK_TIMEOUT_S):
        answer = await loop.run_in_executor(threads, copy_context().run, _called, gate, evidence)
        if inspect.isawaitable(answer):
            work = guarded(_awaited(answer))
            answer = await strays.run(work, stop=lambda: None, leave=partial(_left, gate))
    if isinstance(answer, Failed):
        return answer
    if isinstance(answer, GateResult):
        return replace(answer, state=GateState(answer.state))
    if answer is None:
        return GateResult.of(True)
    passed = answer.item() if hasattr(answer, "item") else answer
    if not isinstance(passed, bool):
        raise TypeError(f"gate {gate.name!r} returned a {type(answer).__name__}: return a bool or a GateResult")
    return GateResult.of(passed, "" if passed else f"{gate.name} returned False")


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


def _left(gate: Gate) -> None:
    logger.warning(
        "gate %r was out of time or cancelled, and goes on all the same: what it says now is dropped; have it let "
        "asyncio.CancelledError through",
        gate.name,
    )


def abandoned() -> int:
    """Threads in which checks still run though nobody waits for them."""
    return _THREADS.abandoned


def _called(gate: Gate, evidence: GateContext) -> Any:
    try:
        return gate.check(evidence)
    except StopIteration as error:
        raise RuntimeError(f"gate {gate.name!r} raised StopIteration") from error


def _raised(gate: Gate, error: ErrorRecord) -> GateResult:
    at = error.traceback.strip().splitlines()[-3:]
    if error.type == AssertionError.__name__:
        return GateResult.of(False, error.message or f"an assert of {gate.name} does not hold", {"at": at})
    told = {"error": error.type, "message": error.message, "traceback": error.traceback, "transient": error.transient}
    return GateResult(GateState.FAILED, f"{gate.name} raised {error.type}: {error.message}", told)
