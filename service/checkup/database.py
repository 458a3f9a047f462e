"""Postgres: reachable, new enough, durable, up to date, and of one mind with this machine about the time."""

from __future__ import annotations

from collections.abc import Iterator

from service.checkup.clock import Skew, clock
from service.checkup.finding import Finding, fine, problem, warning
from service.db.connect import where
from service.db.facts import DatabaseFacts, inspect
from service.errors import DatabaseUnavailable, ServiceError
from service.settings import Settings

OLDEST_VERSION = 15
MIGRATE_AS_OWNER = "run `tidemill migrate` once as a user who may"


async def check(settings: Settings) -> list[Finding]:
    """Ask the server that is configured. Where none is, `tidemill up` embeds one, which only its daemon can reach."""
    dsn = settings.database.url
    if dsn is None:
        return [fine("database", "none is set: `tidemill up` embeds one; it is checked through the daemon")]
    try:
        facts = await inspect(dsn)
    except ServiceError as error:
        return [problem("database", str(error), remedy(error))]
    found = [*_server(facts), *_schema(facts, migrates=settings.database.migrate)]
    if not found:
        found = [fine("database", f"Postgres {facts.version} at {where(dsn)}: durable, up to date")]
    return [*found, clock(Skew(facts.skew_s, facts.unsure_s))]


def remedy(error: ServiceError) -> str:
    """What to do about a server that cannot be used; "" where the error says it: that of a wrong address does."""
    return "start it, or check TIDEMILL_DATABASE_URL" if isinstance(error, DatabaseUnavailable) else ""


def _server(facts: DatabaseFacts) -> Iterator[Finding]:
    if facts.version_number < OLDEST_VERSION * 10_000:
        yield problem("database", f"Postgres {facts.version} is too old", f"use version {OLDEST_VERSION} or later")
    if facts.standby:
        yield problem("database", "this server is a standby: it takes no writes", "name the primary instead")
    if facts.undurable:
        told = ", ".join(facts.undurable)
        yield problem("database", f"{told}: a crash loses acknowledged events", "switch them on in postgresql.conf")


def _schema(facts: DatabaseFacts, *, migrates: bool) -> Iterator[Finding]:
    if facts.ahead:
        told = ", ".join(facts.ahead)
        yield warning("database", f"is ahead of this version by {told}, which it can do without", "finish the upgrade")
    if facts.too_old:
        yield problem("database", facts.too_old)
    elif facts.missing and not facts.may_create:
        told = ", ".join(facts.missing)
        yield problem("database", f"lacks {told}, and this user may not create tables", MIGRATE_AS_OWNER)
    elif facts.missing and migrates:
        yield warning(
            "database", f"lacks {', '.join(facts.missing)}", "the next daemon applies them, or `tidemill migrate`"
        )
    elif facts.missing:
        yield problem("database", f"lacks {', '.join(facts.missing)}", "run `tidemill migrate`")
