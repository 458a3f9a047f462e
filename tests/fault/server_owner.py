"""A small daemon to be killed: `python -m tests.fault.server_owner postgres|kafka|apache|forking HOME`.

Prints the server's address when it is up, and the id of each row it has committed to Postgres.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from pathlib import Path

import asyncpg

from service.embedded.apache import ApacheKafka
from service.embedded.kafka import EmbeddedKafka
from service.embedded.postgres import EmbeddedPostgres
from tests.brokers import apache_jars


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


async def hold_apache(home: Path) -> None:
    """Wait for ever."""
    async with ApacheKafka(home, await apache_jars()) as bootstrap_servers:
        print(bootstrap_servers, flush=True)
        await asyncio.Event().wait()


async def hold_kafka_and_fork(home: Path) -> None:
    """Wait for ever, beside a forked child that inherits what the daemon has open and waits a minute."""
    async with EmbeddedKafka(home) as bootstrap_servers:
        child = os.fork()
        if child == 0:
            os.close(sys.stdout.fileno())
            time.sleep(60)
            os._exit(0)
        print(bootstrap_servers, flush=True)
        print(child, flush=True)
        await asyncio.Event().wait()


SERVERS = {"postgres": hold_postgres, "kafka": hold_kafka, "apache": hold_apache, "forking": hold_kafka_and_fork}

if __name__ == "__main__":
    asyncio.run(SERVERS[sys.argv[1]](Path(sys.argv[2])))
