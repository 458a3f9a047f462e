"""A pipeline of six stages that do nothing, so that what is measured is everything else."""

from __future__ import annotations

from stages import Pipeline, stage


@stage(reuse="run")
async def one() -> None:
    """Nothing."""


@stage(reuse="run")
async def two(one: None) -> None:
    """Nothing."""


@stage(reuse="run")
async def three(two: None) -> None:
    """Nothing."""


@stage(reuse="run")
async def four(three: None) -> None:
    """Nothing."""


@stage(reuse="run")
async def five(four: None) -> None:
    """Nothing."""


@stage(reuse="run")
async def six_(five: None) -> None:
    """Nothing."""


six = Pipeline("six", stages=[one, two, three, four, five, six_])
