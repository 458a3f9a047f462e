"""Asks a gate about the output of its source stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from service.db.registry import PRODUCTION
from service.db.votes import ExpireGate
from service.db.writer import Writer
from service.errors import DatabaseUnavailable, ServiceError
from service.loops.live import LiveRun
from service.model import Tried
from stages.artifacts import ArtifactRef, ArtifactStore
from stages.codecs.base import Scratch
from stages.errors import StageError
from stages.gates.base import GateContext, GateResult, GateState
from stages.gates.evaluate import evaluate, output_for
from stages.plan import PlanGate
from stages.registry import ModelVersion, Registry
from stages.secret_params import values_in, values_of
from stages.secrets import Secrets
from stages.strays import Strays
from triggers.base import Clock

WAITS_S = (0.5, 1.0, 2.0, 4.0)
AWAY_S = 0.5


@dataclass(frozen=True, slots=True)
class Checks:
    """Reads what a gate needs and calls it."""

    store: ArtifactStore
    clock: Clock
    writer: Writer
    registry: Registry
    strays: Strays = field(default_factory=Strays)

    async def check(self, run: LiveRun, name: str) -> tuple[PlanGate, ArtifactRef, GateResult]:
        """The gate, the artifact it was asked about, and what it found. What will pass is tried again for a while.

        A gate that waits for people already is not asked again: it has failed once its time is over, unless they
        decided it meanwhile. Raises `RunLost`.
        """
        gate = run.plan.gate(name)
        made = run.view.tried[gate.src] if gate is not None else None
        if gate is None or made is None or made.output is None:
            raise ServiceError(f"run {run.id}: gate {name} has nothing to check")
        held = run.view.gates.get(name)
        if held is not None and (held.state, held.subject) == (GateState.WAITING, made.output.digest):
            return gate, made.output, await self._expired(run, gate, made.output.digest)
        found = await self._once(run, gate, made, made.output)
        for wait_s in WAITS_S:
            if not found.evidence.get("transient"):
                break
            await self.clock.sleep(wait_s)
            found = await self._once(run, gate, made, made.output)
        return gate, made.output, _unasked(found) if run.shadow else found

    async def _expired(self, run: LiveRun, gate: PlanGate, subject: str) -> GateResult:
        """What the record says of a gate whose time should be over, by the clock of the database."""
        over = ExpireGate(run.id, run.pipeline.name, run.epoch, gate.name, subject, gate.gate.name)
        [found] = await self.writer.submit(over)
        stands: GateResult = found
        return stands

    async def _once(self, run: LiveRun, gate: PlanGate, made: Tried, ref: ArtifactRef) -> GateResult:
        """Ask once. Trouble that will pass is told by the evidence's `transient`."""
        try:
            with Scratch() as scratch:
                wanted = run.plan.stages[gate.src].output_type
                output = await output_for(gate.gate, ref, self.store, wanted, scratch)
                return await self._ask(run, gate, made, output)
        except StageError as error:
            return GateResult(GateState.FAILED, str(error), {"transient": error.transient})

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
            production=await self._production(getattr(gate.gate, "models", ())),
        )
        found = await evaluate(gate.gate, context, self.store, self.strays)
        secret = [*values_of(run.params, run.pipeline.params), *values_in(run.events or (run.event,))]
        if not secret:
            return found
        secrets = Secrets(secret)
        return replace(found, reason=secrets.mask(found.reason), evidence=secrets.mask_fields(found.evidence))

    async def _production(self, models: Any) -> Mapping[str, ModelVersion]:
        """The version in production of each model that has one, however long the database takes to answer."""
        found: dict[str, ModelVersion] = {}
        for model in (models,) if isinstance(models, str) else models:
            while True:
                try:
                    version = await self.registry.alias(model, PRODUCTION)
                    break
                except DatabaseUnavailable:
                    await self.clock.sleep(AWAY_S)
            if version is not None:
                found[model] = version
        return found


def _unasked(found: GateResult) -> GateResult:
    """In shadow nobody is asked to decide: such a gate is passed, and says what it would have waited for."""
    if found.state is not GateState.WAITING:
        return found
    told = f"in shadow nobody is asked: {found.reason}" if found.reason else "in shadow nobody is asked"
    return GateResult(GateState.PASSED, told, {**found.evidence, "shadow": True})
