"""Asking a gate: its check is called where it blocks nobody, and whatever it answers becomes a result."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from stages.artifacts import ArtifactRef, ArtifactStore
from stages.codecs.base import Scratch
from stages.gates.base import Gate, GateContext, GateResult, GateState
from stages.outcome import ErrorRecord, Failed, guarded
from stages.values import load

CHECK_TIMEOUT_S = 600.0


async def evaluate(gate: Gate, evidence: GateContext) -> GateResult:
    """What `gate` finds.

    A check that raises has failed: an AssertionError by its message, anything else with the error as evidence (and
    whether it is transient). So has one that takes longer than `CHECK_TIMEOUT_S`.
    """
    found = await guarded(_plain_answer(gate, evidence))
    return _raised(gate, found.error) if isinstance(found, Failed) else found


async def output_for(gate: Gate, ref: ArtifactRef, store: ArtifactStore, wanted: Any, scratch: Scratch) -> Any:
    """The source's output as far as `gate` may look at it: plain data always, the rest where the gate asks for it.

    `wanted` is the type the source stage is annotated to return (`PlanStage.output_type`).
    """
    if gate.needs_output or ref.codec == "json":
        return await load(ref, store, wanted, scratch)
    return None


async def _plain_answer(gate: Gate, evidence: GateContext) -> GateResult:
    answer = await _answer(gate, evidence)
    reason = str(answer.reason).encode("utf-8", "replace").decode()
    return replace(answer, reason=reason, evidence=_plain(answer.evidence))


async def _answer(gate: Gate, evidence: GateContext) -> GateResult:
    async with asyncio.timeout(CHECK_TIMEOUT_S):
        answer = await asyncio.to_thread(gate.check, evidence)
        if inspect.isawaitable(answer):
            answer = await answer
    if isinstance(answer, GateResult):
        return answer
    if answer is None:
        return GateResult.of(True)
    passed = answer.item() if hasattr(answer, "item") else answer
    if not isinstance(passed, bool):
        raise TypeError(f"gate {gate.name!r} returned a {type(answer).__name__}: return a bool or a GateResult")
    return GateResult.of(passed, "" if passed else f"{gate.name} returned False")


def _raised(gate: Gate, error: ErrorRecord) -> GateResult:
    at = error.traceback.strip().splitlines()[-3:]
    if error.type == AssertionError.__name__:
        return GateResult.of(False, error.message or f"an assert of {gate.name} does not hold", {"at": at})
    told = {"error": error.type, "message": error.message, "traceback": error.traceback, "transient": error.transient}
    return GateResult(GateState.FAILED, f"{gate.name} raised {error.type}: {error.message}", told)


def _plain(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Evidence as JSON can hold it; what it has no word for is told as text."""
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    plain: dict[str, Any] = orjson.loads(orjson.dumps(dict(evidence), str, options))
    return plain
