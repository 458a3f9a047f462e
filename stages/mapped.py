"""Mapped stages: the list one works through, cut into items, and the results of the items made one list again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from stages.artifacts import ArtifactRef, ArtifactStore
from stages.codecs.base import Scratch
from stages.errors import Permanent
from stages.gathered import GATHERED, pack, unpack
from stages.plan import PlanStage
from stages.values import all_of, content, keep, load, save

MOST_ITEMS = 100_000


async def split(stage: PlanStage, ref: ArtifactRef, made_by: PlanStage, store: ArtifactStore) -> list[ArtifactRef]:
    """An artifact for each item of the list `ref`. The same list gives the same artifacts.

    Raises `Permanent` for what is no list, or one of more than `MOST_ITEMS`, and what the store raises.
    """
    with Scratch() as scratch:
        if ref.codec == GATHERED:
            listed: Sequence[ArtifactRef | None] = unpack(await content(ref, store))
            return [one if one is not None else await save(None, store, scratch) for one in listed]
        values = await load(ref, store, made_by.output_type, scratch)
        _check(stage, values)
        what = f"stage {made_by.name!r}, in the list for {stage.name!r},"
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
