"""Mapped stages: finds their items, and makes one result of those of the items."""

from __future__ import annotations

from dataclasses import dataclass

from service.loops.live import LiveRun, output
from service.model import DONE, AttemptState, Items, Tried, parts_of, unit_of
from stages.artifacts import ArtifactRef, ArtifactStore
from stages.mapped import gather, means, split
from stages.outcome import Failed, Succeeded, guarded
from stages.plan import PlanStage


@dataclass(frozen=True, slots=True)
class FanOut:
    """Reads and writes the lists in the artifact store."""

    store: ArtifactStore

    async def look(self, run: LiveRun, stage: PlanStage) -> Failed | None:
        """Put the items of the stage's list into the run's view; those that have a result keep it."""
        source = stage.inputs[str(stage.stage.map)]
        found = await guarded(split(stage, output(run, source), self.store))
        if isinstance(found, Failed):
            return found
        run.view.items[stage.name] = _items(run, stage, found)
        return None

    async def split(self, run: LiveRun, stage: PlanStage) -> Failed | list[int]:
        """The same. The answer are items that another version made of other code: they are open again."""
        failed = await self.look(run, stage)
        if failed is not None:
            return failed
        outdated = [item for item in unlike(run, stage) if unit_of(stage.name, item) in run.view.older]
        for item in outdated:
            unit = unit_of(stage.name, item)
            run.view.put(unit, Tried(run.view.tried[unit].attempt, AttemptState.CANCELLED))
            run.view.voided[unit] = run.view.voided.get(unit, 0) + 1
        if outdated:
            run.view.items[stage.name] = _items(run, stage, run.view.items[stage.name].inputs)
        return outdated

    async def gather(self, run: LiveRun, stage: PlanStage) -> Succeeded | Failed:
        """One result, in the order of the items. Its metrics are the means of theirs."""
        done = [run.view.tried[unit_of(stage.name, item)] for item in range(len(run.view.items[stage.name].inputs))]
        listed = await guarded(gather([one.output for one in done], self.store))
        return listed if isinstance(listed, Failed) else Succeeded(listed, means([one.metrics for one in done]))


def made(run: LiveRun, stage: str) -> list[int]:
    """The items of a mapped stage that have a result that counts."""
    prefix = f"{stage}["
    units = (unit for unit, tried in run.view.tried.items() if unit.startswith(prefix) and tried.state in DONE)
    return sorted(parts_of(unit)[1] for unit in units)


def unlike(run: LiveRun, stage: PlanStage) -> list[int]:
    """The items whose result is not what would be made of them now, where the list is in the run's view already."""
    known = len(run.view.items[stage.name].inputs)
    keys = {item: run.view.tried[unit_of(stage.name, item)].key for item in made(run, stage.name)}
    return [item for item, key in keys.items() if key and (item >= known or key != run.key_of(stage, item))]


def _items(run: LiveRun, stage: PlanStage, inputs: list[ArtifactRef]) -> Items:
    tried = {item: run.view.tried.get(unit_of(stage.name, item)) for item in range(len(inputs))}
    unfinished = {item: None for item, one in tried.items() if one is None or one.state not in DONE}
    troubled = {
        item
        for item in unfinished
        if (one := tried[item]) is not None and one.state in (AttemptState.FAILED, AttemptState.LOST)
    }
    untried = {item: None for item in unfinished if tried[item] is None}
    under_way = {item for item in unfinished if unit_of(stage.name, item) in run.view.under_way}
    return Items(inputs, unfinished, troubled, unfinished.keys() - untried.keys() - under_way, untried)
