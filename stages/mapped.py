"""Mapped stages: the list one works through, cut into items, and the results of the items made one list again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from stages.artifacts import ArtifactRef, ArtifactStore
from stages.call import Call
from stages.codecs.base import Scratch
from stages.errors import Permanent
from stages.gathered import GATHERED, pack, unpack
from stages.outcome import Outcome, Skipped, Succeeded
from stages.plan import PlanStage
from stages.values import all_of, content, keep, load, save

MOST_ITEMS = 100_000

Make = Callable[[Call], Awaitable[Outcome]]


async def split(stage: PlanStage, ref: ArtifactRef, store: ArtifactStore) -> list[ArtifactRef]:
    """An artifact for each item of the list `ref`. The same list gives the same artifacts.

    Raises `Permanent` for what is no list, or one of more than `MOST_ITEMS`, and what the store raises.
    """
    with Scratch() as scratch:
        if ref.codec == GATHERED:
            listed: Sequence[ArtifactRef | None] = unpack(await content(ref, store))
            return [one if one is not None else await save(None, store, scratch) for one in listed]
        values = await load(ref, store, stage.list_type, scratch)
        _check(stage, values)
        what = f"stage {stage.inputs[str(stage.stage.map)]!r}, in the list for {stage.name!r},"
        return await all_of([partial(save, one, store, scratch, what=what) for one in values])


def _check(stage: PlanStage, values: object) -> None:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Sequence):
        raise Permanent(
            f"stage {stage.name!r} maps over {stage.stage.map!r}, which is a {type(values).__name__}: return a list"
        )
    if len(values) > MOST_ITEMS:
        raise Permanent(
            f"stage {stage.name!r} maps over {len(values)} items, more than {MOST_ITEMS}: put several in one item"
        )


async def gather(results: Sequence[ArtifactRef | None], store: ArtifactStore) -> ArtifactRef:
    """One artifact that stands for a list of them, in order; None where an item was skipped."""
    return await keep(GATHERED, pack(results), store)


async def each(stage: PlanStage, call: Call, store: ArtifactStore, make: Make) -> Outcome:
    """A mapped stage made whole, one item after the other; the first that fails is the answer."""
    ref = call.inputs[str(stage.stage.map)]
    done: list[Succeeded | None] = []
    for item, part in enumerate(await split(stage, ref, store)):
        outcome = await make(replace(call, item=item, inputs={**call.inputs, str(stage.stage.map): part}))
        if not isinstance(outcome, Succeeded | Skipped):
            return outcome
        done.append(outcome if isinstance(outcome, Succeeded) else None)
    results = await gather([None if one is None else one.output for one in done], store)
    made = [one for one in done if one is not None]
    return Succeeded(
        results, means([one.metrics for one in made]), tuple(event for one in made for event in one.events)
    )


def means(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over the items that have it."""
    names = sorted({name for one in metrics for name in one})
    values = {name: [one[name] for one in metrics if name in one] for name in names}
    return {name: sum(found) / len(found) for name, found in values.items()}
