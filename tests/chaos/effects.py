"""What stages did to the world outside: a database of its own, on a server that nobody kills."""

from __future__ import annotations

import asyncio
import os

import asyncpg

from stages import StageContext

SCHEMA = """
create table effects (
    id bigint generated always as identity primary key,
    run_id bigint not null,
    pipeline text not null,
    stage text not null,
    key text not null,
    pid integer not null,
    detail text not null,
    at timestamptz not null default clock_timestamp()
)
"""
ADD = "insert into effects (run_id, pipeline, stage, key, pid, detail) values ($1, $2, $3, $4, $5, $6)"
VARIABLE = "TEST_EFFECTS"

_pools: dict[asyncio.AbstractEventLoop, asyncpg.Pool] = {}


async def note(context: StageContext, detail: str) -> None:
    """This attempt did its work. `detail` is what it worked on."""
    loop = asyncio.get_running_loop()
    if loop not in _pools:
        _pools[loop] = await asyncpg.create_pool(os.environ[VARIABLE], min_size=0, max_size=4)
    row = (context.run_id, context.pipeline, context.stage, context.idempotency_key, os.getpid(), detail)
    await _pools[loop].execute(ADD, *row)
