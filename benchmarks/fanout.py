"""(i) A mapped stage of ten thousand items, beside a bare loop that makes each item's row durable."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import asyncpg
import orjson
from pydantic import BaseModel

from benchmarks.benchmark import Benchmark
from benchmarks.daemons import here_settings, start_daemon
from benchmarks.ground import Ground, ground
from benchmarks.measuring import Round, alternate, measured, rates, summary
from benchmarks.tables import Table
from service.app import Daemon
from service.settings import Role
from stages import Pipeline, stage
from triggers.base import Arrival, Offer
from triggers.event import Event, utc_now

LIMIT = "bare group-commit loop"
SCHEMA = """
create schema if not exists bare;
drop table if exists bare.items;
create table bare.items (
    run_id bigint not null, item integer not null, state text not null, key uuid not null, digest text not null,
    output bytea not null, started_at timestamptz not null, finished_at timestamptz not null, primary key (run_id, item)
);
"""
PUT = """
insert into bare.items (run_id, item, state, key, digest, output, started_at, finished_at)
select 1, item, 'succeeded', key, digest, output, started_at, finished_at
from unnest($1::integer[], $2::uuid[], $3::text[], $4::bytea[], $5::timestamptz[], $6::timestamptz[])
    as g (item, key, digest, output, started_at, finished_at)
"""
_numbers = itertools.count()


class Items(BaseModel):
    """How many."""

    count: int = 10_000


@stage(reuse="never")
async def items(params: Items) -> list[int]:
    """The list."""
    return list(range(params.count))


@stage(map="items", at_once=500, reuse="never")
async def double(items: int) -> int:
    """One of them."""
    return 2 * items


@stage(reuse="never")
async def total(double: list[int]) -> int:
    """All of them together."""
    return sum(double)


fanned = Pipeline("fanned", stages=[items, double, total], params=Items)


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    items: int = 10_000
    rounds: int = 5
    at_once: int = 500


async def run(size: Size) -> Sequence[Table]:
    """Measure; what is told."""
    async with ground() as here, asyncio.TaskGroup() as tasks:
        daemon = await start_daemon(here_settings(here, Role.EXECUTOR), [fanned], tasks)
        bare = await asyncpg.connect(here.dsn)
        await _ours(here, daemon, min(size.items, 100))
        ours = partial(measured, size.items, partial(_ours, here, daemon, size.items), here.commits)
        found = await alternate({LIMIT: partial(_bare, here, bare, size), "tidemill": ours}, size.rounds)
        await bare.close()
        daemon.stop()
    return [rates(f"A stage for each of {size.items:,} items", "item", summary(found, LIMIT))]


async def _ours(here: Ground, daemon: Daemon, count: int) -> None:
    event = Event(source="benchmarks", id=f"{next(_numbers)}", type="benchmark", time=utc_now())
    [receipt] = await daemon.inbox.accept([Arrival(event, [Offer(fanned.name, "benchmark", params={"count": count})])])
    [outcome] = receipt.outcomes
    await here.reaches(f"select count(*) from runs where id = {outcome.run_id} and state = 'succeeded'", 1)


async def _bare(here: Ground, connection: asyncpg.Connection, size: Size) -> Round:
    await here.execute(SCHEMA)
    put = await connection.prepare(PUT)

    async def work() -> None:
        for start in range(0, size.items, size.at_once):
            rows = [await _item(number) for number in range(start, min(start + size.at_once, size.items))]
            await put.fetch(*(list(column) for column in zip(*rows, strict=True)))

    return await measured(size.items, work, here.commits)


async def _item(number: int) -> tuple[int, UUID, str, bytes, datetime, datetime]:
    began = datetime.now(UTC)
    output = orjson.dumps(await double(number))
    digest = hashlib.blake2b(output, digest_size=32).hexdigest()
    key = UUID(bytes=hashlib.blake2b(digest.encode(), digest_size=16).digest())
    return number, key, digest, output, began, datetime.now(UTC)


BENCHMARK = Benchmark(
    order="i",
    says="A mapped stage of many items, beside a bare loop that makes each item's row durable, as many at once.",
    full=Size(),
    quick=Size(items=50, rounds=1),
    measure=run,
)
