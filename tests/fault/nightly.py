"""A pipeline that is due every night, for daemons that die while they backfill it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from stages import Event, Pipeline, stage
from triggers import Cron


@stage
async def dawdle(event: Event) -> str:
    await asyncio.sleep(0.03)
    return event.id


every_night = Pipeline(
    "every_night", [dawdle], on=[Cron("0 2 * * *", name="nightly", end=datetime(2026, 6, 30, tzinfo=UTC))]
)
