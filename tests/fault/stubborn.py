"""A stage that swallows its cancellation."""

from __future__ import annotations

import asyncio
from pathlib import Path

from stages import Event, Pipeline, stage


@stage
async def clings(event: Event) -> int:
    """Goes on until a file says that it may end."""
    folder = Path(event.data["folder"])
    (folder / "started").touch()
    while not (folder / "enough").exists():
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue
    return 1


stubborn = Pipeline("stubborn", [clings])
