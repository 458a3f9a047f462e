"""The limit: six durable steps a run by a bare group-commit loop on the same Postgres, and nothing besides.

One connection, one statement a flush, in it everything that gathered while the last one was in flight: runs submitted,
runs claimed with SKIP LOCKED, one row for each finished stage, runs closed. A stage's row is committed before the next
stage of its run begins.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import asyncpg
import orjson

STAGES = 6

SCHEMA = """
create schema if not exists bare;
drop table if exists bare.runs, bare.stages;
create table bare.runs (id bigint primary key, state text not null, owner bigint) with (fillfactor = 80);
create index on bare.runs (id) where state = 'queued';
create table bare.stages (run_id bigint not null, stage integer not null, output bytea, primary key (run_id, stage));
"""

FLUSH = """
with submitted as (
    insert into bare.runs (id, state) select id, 'queued' from unnest($1::bigint[]) as g (id)
), finished as (
    insert into bare.stages (run_id, stage, output) select * from unnest($2::bigint[], $3::integer[], $4::bytea[])
), closed as (
    update bare.runs set state = 'succeeded' where id = any($5::bigint[])
), claimed as (
    update bare.runs set state = 'running', owner = 1
    where id in (select id from bare.runs where state = 'queued' order by id limit $6 for update skip locked)
    returning id
)
select id from claimed
"""


@dataclass(eq=False, slots=True)
class Bare:
    """Does `runs` runs with at most `in_flight` of them at once, each a coroutine that calls its six stages."""

    connection: asyncpg.Connection
    runs: int
    in_flight: int
    done: int = 0
    submitted: int = 0
    driving: int = 0
    waiting: list[tuple[int, int, bytes, asyncio.Future[None]]] = field(default_factory=list)

    async def work(self) -> None:
        """Until every run has succeeded."""
        flush = await self.connection.prepare(FLUSH)
        async with asyncio.TaskGroup() as tasks:
            while self.done < self.runs:
                await self._flush(flush, tasks)
                await asyncio.sleep(0)

    async def _flush(self, flush: asyncpg.prepared_stmt.PreparedStatement, tasks: asyncio.TaskGroup) -> None:
        steps, self.waiting = self.waiting, []
        over = [run for run, stage, _, _ in steps if stage == STAGES - 1]
        room = self.in_flight - self.driving + len(over)
        new = range(self.submitted, min(self.runs, self.submitted + room))
        self.submitted = new.stop
        rows = ([one[column] for one in steps] for column in range(3))
        claimed = await flush.fetch(list(new), *rows, over, room)
        self.done += len(over)
        self.driving += len(claimed) - len(over)
        for *_, durable in steps:
            durable.set_result(None)
        for row in claimed:
            tasks.create_task(self._drive(row[0]))

    async def _drive(self, run: int) -> None:
        loop = asyncio.get_running_loop()
        for stage in range(STAGES):
            output = orjson.dumps(await _nothing())
            durable = loop.create_future()
            self.waiting.append((run, stage, output, durable))
            await durable


async def _nothing() -> object:
    """A stage."""
    return None
