"""Mapped stages: finds their items, and makes one result of those of the items."""

from __future__ import annotations

from dataclasses import dataclass

from service.loops.live import LiveRun, output
from service.model import DONE, AttemptState, Items, unit_of
from stages.artifacts import ArtifactRef, ArtifactStore
from stages.mapped import gather, means, split
from stages.outcome import Failed, Succeeded, guarded
from stages.plan import PlanStage


@dataclass(frozen=True, slots=True)
class FanOut:
    """Reads and writes the lists in the artifact store."""

    store: ArtifactStore

    async def split(self, run: LiveRun, stage: PlanStage) -> Failed | None:
        """Put the items of the stage's list into the run's view; those that have a result keep it."""
        source = stage.inputs[str(stage.stage.map)]
        found = await guarded(split(stage, output(run, source), self.store))
        if isinstance(found, Failed):
            return found
        run.view.items[stage.name] = _items(run, stage, found)
        return None

    async def gather(self, run: LiveRun, stage: PlanStage) -> Succeeded | Failed:
        """One result, in the order of the items. Its metrics are the means of theirs."""
        done = [run.view.tried[unit_of(stage.name, item)] for item in range(len(run.view.items[stage.name].inputs))]
        made = await guarded(gather([one.output for one in done], self.store))
        return made if isinstance(made, Failed) else Succeeded(made, means([one.metrics for one in done]))


def _items(run: LiveRun, stage: PlanStage, inputs: list[ArtifactRef]) -> Items:
    tried = {item: run.view.tried.get(unit_of(stage.name, item)) for item in range(len(inputs))}
    unfinished = {item: None for item, one in tried.items() if one is None or one.state not in DONE}
    troubled = {
        item
        for item in unfinished
        if (one := tried[item]) is not None and one.state in (AttemptState.FAILED, AttemptState.LOST)
    }
    return Items(inputs, unfinished, troubled)
