"""The database of the settings, for commands that need no daemon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.settings import Settings


@asynccontextmanager
async def database_of(settings: Settings, *, may_make: bool = False) -> AsyncIterator[str | None]:
    """The one that is set; else the one that is embedded, which runs meanwhile where no daemon runs it.

    None where there is none and none may be made. Raises `PostgresUnavailable`.
    """
    from service.embedded.postgres import EmbeddedPostgres, embedded_dsn, is_made

    dsn = settings.database.url or embedded_dsn(settings.home)
    if dsn is not None or not (may_make or is_made(settings.home)):
        yield dsn
        return
    async with EmbeddedPostgres(settings.home) as started:
        yield started
