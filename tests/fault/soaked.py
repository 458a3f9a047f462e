"""What the soak runs: mostly quick, some slow, some with large results, all of which say something."""

from __future__ import annotations

import asyncio
from typing import Any

from stages import Event, Pipeline, StageContext, stage
from triggers import Webhook


@stage
async def take(event: Event, context: StageContext) -> dict[str, Any]:
    context.logger.info("took %s", event.data["n"])
    await asyncio.sleep(event.data.get("slow_s", 0.0))
    return {"n": event.data["n"], "rows": "x" * event.data.get("rows", 0)}


@stage
def count(take: dict[str, Any]) -> int:
    return len(take["rows"])


soaked = Pipeline("soaked", [take, count], on=[Webhook("soaked")])
