"""A small daemon to be killed: `python -m tests.fault.server_owner postgres|kafka HOME`.

Prints the server's address when it is up, and the id of each row it has committed to Postgres.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

import asyncpg

from service.embedded.kafka import EmbeddedKafka
from service.embedded.postgres import EmbeddedPostgres


async def hold_postgres(home: Path) -> None:
    """Commit rows for ever."""
    async with EmbeddedPostgres(home) as dsn:
        connection = await asyncpg.connect(dsn)
        await connection.execute("create table if not exists kept (id integer primary key)")
        print(dsn, flush=True)
        for number in itertools.count():
            await connection.execute("insert into kept values ($1)", number)
            print(number, flush=True)


async def hold_kafka(home: Path) -> None:
    """Wait for ever."""
    async with EmbeddedKafka(home) as bootstrap_servers:
        print(bootstrap_servers, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run({"postgres": hold_postgres, "kafka": hold_kafka}[sys.argv[1]](Path(sys.argv[2])))
