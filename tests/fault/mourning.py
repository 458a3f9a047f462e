"""For how long the runs of daemons that died are nobody's, and until when somebody drives all of them again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from tests.fault.warm import Living

_LOOK_S = 0.02
DEAD = "select id from daemons where pid = $1 order by id desc limit 1"
LAPSED = "select renewed_at + make_interval(secs => lease_s) from daemons where id = $1"
DRIVEN = "select id, epoch from runs where owner = $1"
# Those who could take over: they have been there for a lease.
HEIRS = """
    select count(distinct pid) from daemons
    where pid = any ($1::int[]) and started_at < now() - make_interval(secs => $2)
"""
OWNED = "select distinct owner from runs where owner = any ($1::bigint[])"
# Those whose time has not come again: nobody has claimed them since.
IDLE = """
    select distinct d.daemon from unnest($1::bigint[], $2::bigint[], $3::int[]) as d (daemon, run, epoch)
    join runs r on r.id = d.run and r.epoch = d.epoch and r.state in ('queued', 'running')
"""


@dataclass(slots=True)
class Death:
    """Of one daemon: what it drove (and at which epochs), how many could take over, and when that had been done."""

    daemon: int
    at: float
    runs: dict[int, int]
    heirs: int
    lapsed_at: float = 0.0
    adopted_at: float = 0.0
    driven_at: float = 0.0

    @property
    def alone_s(self) -> float:
        """How long its runs were nobody's."""
        return self.adopted_at - self.at

    @property
    def over_s(self) -> float:
        """How long after its lease had lapsed, by the database's clock, they were adopted."""
        return self.adopted_at - self.lapsed_at

    @property
    def idle_s(self) -> float:
        """Until somebody drove, or had ended, every one of them."""
        return self.driven_at - self.at


@dataclass
class Mourning:
    """All deaths. One connection watches over all runs that are left: watching must cost next to nothing.

    `looks_s` tells how long each look took that asks next to nothing, as a measure of how busy the machine was.
    """

    lease_s: float
    deaths: list[Death] = field(default_factory=list)
    looks_s: list[float] = field(default_factory=list)

    async def run(self, dsn: str) -> None:
        """Watch, until cancelled."""
        connection = await asyncpg.connect(dsn)
        try:
            while True:
                began = time.monotonic()
                await asyncio.sleep(_LOOK_S)
                await self._look(connection)
                self.looks_s.append(time.monotonic() - began - _LOOK_S)
        finally:
            connection.terminate()

    async def note(self, dsn: str, one: Living, living: Sequence[Living]) -> None:
        """That one has died, when some still lived."""
        connection = await asyncpg.connect(dsn)
        try:
            daemon = await connection.fetchval(DEAD, one.pid)
            runs = {row["id"]: row["epoch"] for row in await connection.fetch(DRIVEN, daemon)}
            heirs = await self._heirs(connection, living)
        finally:
            await connection.close()
        if runs:
            self.deaths.append(Death(daemon, one.died_at, runs, heirs))

    async def heirs(self, dsn: str, living: Sequence[Living]) -> int:
        """How many of those who live could take over."""
        connection = await asyncpg.connect(dsn)
        try:
            return await self._heirs(connection, living)
        finally:
            await connection.close()

    async def over(self) -> None:
        """Wait until somebody drives all that is left."""
        while self._left():
            await asyncio.sleep(_LOOK_S)

    async def _heirs(self, connection: asyncpg.Connection, living: Sequence[Living]) -> int:
        count: int = await connection.fetchval(HEIRS, [one.pid for one in living if one.code is None], self.lease_s)
        return count

    def _left(self) -> list[Death]:
        return [one for one in self.deaths if not one.driven_at]

    async def _look(self, connection: asyncpg.Connection) -> None:
        left = self._left()
        owned = {row["owner"] for row in await connection.fetch(OWNED, [one.daemon for one in left])}
        places = [(one.daemon, run, epoch) for one in left for run, epoch in one.runs.items()]
        idle = {row["daemon"] for row in await connection.fetch(IDLE, *_columns(places))}
        now = time.time()
        for one in left:
            if not one.adopted_at and one.daemon not in owned:
                one.adopted_at = now
                one.lapsed_at = (await connection.fetchval(LAPSED, one.daemon)).timestamp()
            if one.adopted_at and one.daemon not in idle:
                one.driven_at = now


def _columns(places: Sequence[tuple[int, int, int]]) -> list[list[int]]:
    return [[place[column] for place in places] for column in range(3)]
