"""Whether the books are right: what must hold of all rows, whatever crashed. Reads them all, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from service.checkup.database import remedy
from service.checkup.finding import Finding, fine, problem
from service.db.ledger import audit
from service.embedded.postgres import embedded_dsn
from service.errors import ServiceError
from service.settings import Settings

KEEP = "keep the database as it is and report it: this must not happen"


async def check(settings: Settings) -> AsyncIterator[Finding]:
    """One finding for each promise, as it is looked at. Where no database is set, the one that is embedded is read."""
    dsn = settings.database.url or embedded_dsn(settings.home)
    if dsn is None:
        yield problem(
            "ledger",
            f"no database is set, and none is embedded and running in {settings.home}",
            "set TIDEMILL_DATABASE_URL to the one whose books to read, or TIDEMILL_HOME to that of `tidemill up`",
        )
        return
    try:
        async for kept in audit(dsn):
            if kept.breaches:
                yield problem("ledger", f"broken: {kept.promise}: {'; '.join(kept.breaches)}", KEEP)
            else:
                yield fine("ledger", kept.promise)
    except ServiceError as error:
        yield problem("ledger", str(error), remedy(error))
