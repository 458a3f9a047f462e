"""Whether every artifact that the database refers to is in the store, and what it was when it was put there."""

from __future__ import annotations

import tempfile
from pathlib import Path

from service.backup import told
from service.checkup.database import remedy
from service.checkup.finding import Finding, fine, problem
from service.db import dumping
from service.embedded.postgres import embedded_dsn
from service.errors import ServiceError
from service.settings import Settings
from stages.artifacts import ArtifactStore
from stages.errors import ArtifactCorrupted, ArtifactMissing, StageError
from stages.stores import open_store

ADVICE = "restore them from a backup of the store, or resume their runs from the stages that made them"


async def check(settings: Settings) -> Finding:
    """Read each of them."""
    dsn = settings.database.url or embedded_dsn(settings.home)
    if dsn is None:
        return problem("artifacts", "no database is set that could refer to any", "set TIDEMILL_DATABASE_URL")
    try:
        whole, lost = await _read_all(dsn, open_store(settings.artifacts.url))
    except ServiceError as error:
        return problem("artifacts", str(error), remedy(error))
    except StageError as error:
        return problem("artifacts", str(error))
    if lost:
        return problem("artifacts", f"{len(lost)} that rows refer to are missing or damaged: {told(lost)}", ADVICE)
    return fine("artifacts", f"all {whole} that rows refer to are there, and whole")


async def _read_all(dsn: str, store: ArtifactStore) -> tuple[int, list[str]]:
    whole, lost = 0, []
    with tempfile.TemporaryDirectory(prefix="tidemill-check-") as folder:
        async with dumping.snapshot(dsn) as snapshot:
            async for digest in snapshot.referred_to():
                try:
                    await store.fetch_file(digest, Path(folder, "artifact"))
                except (ArtifactMissing, ArtifactCorrupted):
                    lost.append(digest)
                else:
                    whole += 1
    return whole, lost
