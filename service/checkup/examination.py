"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator

from service.checkup import artifacts, broker, daemon, database, ledger, pipelines, triggers
from service.checkup.finding import Finding, fine
from service.settings import Settings


async def examine(settings: Settings, *, deep: bool = False) -> AsyncIterator[Finding]:
    """What every check found. `deep` reads every row of the database as well."""
    yield _settings(settings)
    catalogue, found = pipelines.load(settings)
    for one in (*found, *triggers.check(settings, catalogue)):
        yield one
    for one in await database.check(settings):
        yield one
    for one in await broker.check(settings, catalogue):
        yield one
    for one in await artifacts.check(settings):
        yield one
    for one in await daemon.check(settings):
        yield one
    if deep:
        async for one in ledger.check(settings):
            yield one


def _settings(settings: Settings) -> Finding:
    origins = sorted(set(settings.origins.values()))
    told = f"{len(settings.origins)} set by {', '.join(origins)}" if origins else "all are defaults"
    return fine("settings", f"{told}; `tidemill config` shows them")
