"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from service.checkup import artifacts, broker, daemon, database, ledger, pipelines, referred, transport, triggers
from service.checkup.finding import Finding, Verdict, fine
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Depth:
    """What is read as well: every row of the database, every artifact that one refers to."""

    rows: bool = False
    artifacts: bool = False


async def examine(settings: Settings, depth: Depth) -> AsyncIterator[Finding]:
    """What every check found."""
    yield _settings(settings)
    asked = await daemon.check(settings)
    runs = any(one.about == "daemon" and one.verdict is Verdict.OK for one in asked.findings)
    catalogue, found = pipelines.load(settings)
    for one in (*found, *triggers.check(settings, catalogue), *transport.check(settings, catalogue)):
        yield _of_here(one) if runs else one
    for one in await database.check(settings):
        yield one
    for one in await broker.check(settings, catalogue, asked.embeds):
        yield _of_here(one) if runs and asked.embeds is None else one
    for one in await artifacts.check(settings):
        yield one
    for one in asked.findings:
        yield one
    if depth.rows:
        async for one in ledger.check(settings):
            yield one
    if depth.artifacts:
        yield await referred.check(settings)


def _of_here(one: Finding) -> Finding:
    """The daemon that runs may have been started with other settings."""
    return replace(one, says=f"{one.says} (by the settings of this terminal; the running daemon may have others)")


def _settings(settings: Settings) -> Finding:
    origins = sorted(set(settings.origins.values()))
    told = f"{len(settings.origins)} set by {', '.join(origins)}" if origins else "all are defaults"
    return fine("settings", f"{told}; `tidemill config` shows them")
