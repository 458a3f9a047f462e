"""The pipelines of the simulation: a chain with a gate, a mapped stage, and one that is given batches of records."""

from __future__ import annotations

import asyncio

from stages import Event, Pipeline, Retry, stage
from stages.gates import GateContext, GateResult, GateState

patient = Retry(max_attempts=4, initial_s=0.2, max_delay_s=2.0)


@stage(retry=patient)
async def first(event: Event) -> int:
    """Attended: it could be cut short."""
    await asyncio.sleep(0)
    return 1


@stage(retry=patient)
async def second(first: int) -> int:
    """Runs through: nothing could cut it short."""
    return first + 1


@stage(retry=patient)
async def third(second: int) -> int:
    """Behind a gate that a person decides."""
    return second + 1


@stage(retry=patient)
async def items(event: Event) -> list[int]:
    """What `each` is mapped over."""
    return [1, 2, 3]


@stage(map="items", at_once=2, retry=patient)
async def each(items: int) -> int:
    """Two at once."""
    await asyncio.sleep(0)
    return items


@stage(retry=patient)
async def total(each: list[int]) -> int:
    """After all of them."""
    return sum(each)


async def asked(evidence: GateContext) -> GateResult:
    """Waits for a person."""
    return GateResult(GateState.WAITING)


ASKED, MAPPED, BATCHES, GATHERED = "asked", "mapped", "batches", "gathered"
ALL = (
    Pipeline(ASKED, stages=[first, second, third], gates={("second", "third"): asked}),
    Pipeline(MAPPED, stages=[items, each, total]),
    Pipeline(BATCHES, stages=[first, second]),
    Pipeline(GATHERED, stages=[first, second]),
)
