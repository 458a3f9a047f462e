"""Asks a gate about the output of its source stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from service.errors import ServiceError
from service.loops.live import LiveRun
from service.model import Tried
from stages.artifacts import ArtifactRef, ArtifactStore
from stages.codecs.base import Scratch
from stages.errors import StageError
from stages.gates.base import GateContext, GateResult, GateState
from stages.gates.evaluate import evaluate
from stages.plan import PlanGate
from stages.values import load
from triggers.base import Clock


@dataclass(frozen=True, slots=True)
class Checks:
    """Reads what a gate needs and calls it."""

    store: ArtifactStore
    clock: Clock

    async def check(self, run: LiveRun, name: str) -> tuple[PlanGate, ArtifactRef, GateResult]:
        """The gate, the artifact it was asked about, and what it found. An artifact that cannot be read fails it."""
        gate = run.plan.gate(name)
        made = run.view.tried[gate.src] if gate is not None else None
        if gate is None or made is None or made.output is None:
            raise ServiceError(f"run {run.id}: gate {name} has nothing to check")
        try:
            with Scratch() as scratch:
                output = await self._output(run, gate, made.output, scratch) if gate.gate.needs_output else None
                return gate, made.output, await self._ask(run, gate, made, output)
        except StageError as error:
            return gate, made.output, GateResult(GateState.FAILED, str(error))

    async def _output(self, run: LiveRun, gate: PlanGate, ref: ArtifactRef, scratch: Scratch) -> Any:
        """The output as its stage annotates it: a report is the report, not the JSON it is stored as."""
        return await load(ref, self.store, run.plan.stages[gate.src].output_type, scratch)

    async def _ask(self, run: LiveRun, gate: PlanGate, made: Tried, output: Any) -> GateResult:
        context = GateContext(
            run_id=run.id,
            pipeline=run.pipeline.name,
            source_stage=gate.src,
            output=output,
            metrics=made.metrics,
            finished_at=made.finished_at or self.clock.now(),
            event=run.event,
            params=run.pipeline.parse_params(run.params),
            now=self.clock.now(),
        )
        return await evaluate(gate.gate, context)
