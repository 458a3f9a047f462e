"""A pipeline of four stages, the second of which never ends where the variable `BENCHMARK_HOLDS` is set."""

from __future__ import annotations

import asyncio
import os

from stages import Pipeline, stage


@stage(reuse="run")
async def before() -> None:
    """Nothing."""


@stage(reuse="run")
async def hold(before: None) -> None:
    """Wait for the end of this process."""
    if os.environ.get("BENCHMARK_HOLDS"):
        await asyncio.Event().wait()


@stage(reuse="run")
async def after(hold: None) -> None:
    """Nothing."""


@stage(reuse="run")
async def last(after: None) -> None:
    """Nothing."""


held = Pipeline("held", stages=[before, hold, after, last])
