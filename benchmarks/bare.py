"""The limit: six durable steps a run by a bare group-commit loop on the same Postgres, and nothing besides.

One connection, one statement a flush, in it everything that gathered while the last one was in flight: events and
their runs submitted, runs claimed with SKIP LOCKED, one row for each finished stage, runs closed. A stage's row is
committed before the next stage of its run begins. The rows hold what Tidemill's hold: the event and its payload, who
may drive the run, of each stage its key, result, digest and times.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

NAMES = ("one", "two", "three", "four", "five", "six")

SCHEMA = """
create schema if not exists bare;
drop table if exists bare.events, bare.runs, bare.stages;
create table bare.events (
    key uuid primary key, source text not null, id text not null, type text not null, occurred_at timestamptz not null,
    accepted_at timestamptz not null default now(), payload bytea not null
);
create table bare.runs (
    id bigint generated always as identity primary key, event_key uuid not null unique, pipeline text not null,
    version text not null, params bytea not null, state text not null, epoch integer not null default 0, owner bigint,
    queued_at timestamptz not null default now(), started_at timestamptz, finished_at timestamptz
) with (fillfactor = 80);
create index on bare.runs (id) where state = 'queued';
create table bare.stages (
    run_id bigint not null, stage text not null, attempt integer not null, epoch integer not null, state text not null,
    key uuid not null, digest text not null, output bytea not null, started_at timestamptz not null,
    finished_at timestamptz not null, primary key (run_id, stage, attempt)
);
"""

FLUSH = """
with submitted as (
    insert into bare.events (key, source, id, type, occurred_at, payload)
    select key, 'benchmarks', id, 'benchmark', occurred_at, payload
    from unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::bytea[]) as g (key, id, occurred_at, payload)
    on conflict (key) do nothing
    returning key
), queued as (
    insert into bare.runs (event_key, pipeline, version, params, state)
    select key, 'six', '1', '{}', 'queued' from submitted
), finished as (
    insert into bare.stages (run_id, stage, attempt, epoch, state, key, digest, output, started_at, finished_at)
    select run_id, stage, 1, 1, 'succeeded', key, digest, output, started_at, finished_at
    from unnest($5::bigint[], $6::text[], $7::uuid[], $8::text[], $9::bytea[], $10::timestamptz[], $11::timestamptz[])
        as g (run_id, stage, key, digest, output, started_at, finished_at)
), closed as (
    update bare.runs set state = 'succeeded', owner = null, finished_at = now()
    where id = any($12::bigint[]) and epoch = 1 and state = 'running'
), claimed as (
    update bare.runs set state = 'running', owner = 1, epoch = epoch + 1, started_at = now()
    where id in (select id from bare.runs where state = 'queued' order by id limit $13 for update skip locked)
    returning id, event_key
)
select id, event_key from claimed
"""

Step = tuple[int, str, UUID, str, bytes, datetime, datetime]


@dataclass(eq=False, slots=True)
class Bare:
    """Does `runs` runs with at most `in_flight` of them at once, each a coroutine that calls its six stages."""

    connection: asyncpg.Connection
    runs: int
    in_flight: int
    done: int = 0
    submitted: int = 0
    driving: int = 0
    waiting: list[tuple[Step, asyncio.Future[None]]] = field(default_factory=list)

    async def work(self) -> None:
        """Until every run has succeeded."""
        flush = await self.connection.prepare(FLUSH)
        async with asyncio.TaskGroup() as tasks:
            while self.done < self.runs:
                await self._flush(flush, tasks)
                await asyncio.sleep(0)

    async def _flush(self, flush: asyncpg.prepared_stmt.PreparedStatement, tasks: asyncio.TaskGroup) -> None:
        waiting, self.waiting = self.waiting, []
        steps = [step for step, _ in waiting]
        over = [step[0] for step in steps if step[1] == NAMES[-1]]
        room = self.in_flight - self.driving + len(over)
        new = range(self.submitted, min(self.runs, self.submitted + room))
        self.submitted = new.stop
        events = [_event(number) for number in new]
        claimed = await flush.fetch(*_columns(events, 4), *_columns(steps, 7), over, room)
        self.done += len(over)
        self.driving += len(claimed) - len(over)
        for _, durable in waiting:
            durable.set_result(None)
        for run, event_key in claimed:
            tasks.create_task(self._drive(run, event_key))

    async def _drive(self, run: int, event_key: UUID) -> None:
        loop = asyncio.get_running_loop()
        key = event_key
        for stage in NAMES:
            began = datetime.now(UTC)
            output = orjson.dumps(await _nothing())
            digest = hashlib.blake2b(output, digest_size=32).hexdigest()
            key = _uuid(key.bytes + stage.encode() + digest.encode())
            durable = loop.create_future()
            self.waiting.append(((run, stage, key, digest, output, began, datetime.now(UTC)), durable))
            await durable


def _event(number: int) -> tuple[UUID, str, datetime, bytes]:
    at, name = datetime.now(UTC), str(number)
    payload = {
        "specversion": "1.0",
        "id": name,
        "source": "benchmarks",
        "type": "benchmark",
        "time": at,
        "data": {"number": number},
    }
    return _uuid(b"benchmarks" + name.encode()), name, at, orjson.dumps(payload)


def _uuid(data: bytes) -> UUID:
    return UUID(bytes=hashlib.blake2b(data, digest_size=16).digest())


def _columns(rows: list[Any], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


async def _nothing() -> object:
    """A stage."""
    return None
