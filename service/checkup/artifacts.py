"""The artifact store: takes a probe, gives it back unchanged, and lets go of it."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from service.checkup.finding import Finding, fine, problem
from service.settings import Settings
from stages.errors import StageError
from stages.stores import open_store

PATIENCE_S = 20.0


async def check(settings: Settings) -> list[Finding]:
    """Write, read and delete a few bytes."""
    url = settings.artifacts.url
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _probe(url)
    except StageError as error:
        return [problem("artifacts", str(error))]
    except TimeoutError:
        return [problem("artifacts", f"{url} did not take and give back a few bytes within {PATIENCE_S:g} s")]
    return [fine("artifacts", f"{url}: written, read and deleted a probe")]


async def _probe(url: str) -> None:
    store = open_store(url)
    digest = await store.put(f"tidemill doctor {uuid4()}".encode())
    try:
        await store.get(digest)
    finally:
        await store.delete(digest)
