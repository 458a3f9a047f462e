"""The processes that share a database: registering, adopting from those that died, giving back at the end."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import ClassVar, NamedTuple

import asyncpg

from service.db.connect import sql
from service.db.entries import held
from service.db.migrations import check_not_too_old, newest
from service.db.writer import Flush, Operation
from triggers import faults


@dataclass(frozen=True, slots=True)
class Registration:
    """Registers this process; used again when its lease has lapsed."""

    roles: Sequence[str]
    lease_s: float

    async def __call__(self, connection: asyncpg.Connection) -> int:
        """Insert a row and return its id. Raises `MigrationError` where the database was upgraded past this version.

        In that order: who upgrades it either sees the row, or had committed before it was there.
        """
        arguments = (socket.gethostname(), os.getpid(), list(self.roles), version("tidemill"), self.lease_s, newest())
        await faults.reach("register_daemon.commit")
        daemon: int = await connection.fetchval(sql("register_daemon"), *arguments)
        await faults.reach("register_daemon.committed")
        await check_not_too_old(connection)
        return daemon


class Adopted(NamedTuple):
    """How many runs were taken from lapsed processes, and in how many seconds the next lease may lapse (None: nobody
    else has one).
    """

    runs: int
    next_s: float | None


@dataclass(eq=False, slots=True)
class Adopt(Operation):
    """Take the runs of lapsed processes away from them and queue them. The answer is an `Adopted`."""

    order: ClassVar[int] = 5
    alone: ClassVar[bool] = True

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Adopt]) -> Sequence[Adopted]:
        """A lapsed process cannot commit after this: its lease row is no longer alive."""
        rows = await flush.connection.fetch(sql("adopt"), flush.daemon)
        for row in rows:
            flush.wakes.add("")
            entry = {"run": row["id"], "pipeline": row["pipeline"], "move": "queued", "lost_by": row["daemon"]}
            flush.log.append(entry | held(row["key"], row["pool"]))
        next_s = await flush.connection.fetchval(sql("next_lapse"), flush.daemon)
        return [Adopted(len(rows), next_s)] * len(operations)


@dataclass(eq=False, slots=True)
class Release(Operation):
    """Give back this process's runs and its lease. Nothing may be written after it."""

    order: ClassVar[int] = 99

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Release]) -> Sequence[int]:
        """The answer is how many runs were given back."""
        rows = await flush.connection.fetch(sql("release"), flush.daemon)
        for row in rows:
            flush.wakes.add("")
            entry = {"run": row["id"], "pipeline": row["pipeline"], "move": "queued"}
            flush.log.append(entry | held(row["key"], row["pool"]))
        return [len(rows)] * len(operations)
