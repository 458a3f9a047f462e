"""What the API answers of the installation as a whole. The shapes of everything else: `service.shapes`."""

from __future__ import annotations

from datetime import datetime

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict


class DaemonShape(TypedDict):
    """A process of this installation: `alive`, `stopped` or `lapsed`."""

    id: int
    host: str
    pid: int
    roles: list[str]
    version: str
    lease_s: float
    state: str
    started_at: datetime
    renewed_at: datetime


class DatabaseShape(TypedDict):
    """The Postgres behind it. `at` is its clock."""

    at: datetime
    version: str
    size_bytes: int


class PoolShape(TypedDict):
    """A pool that pipelines share: how many places it has, and how many runs hold one."""

    name: str
    capacity: int
    taken: int


class SystemAnswer(TypedDict):
    """The processes that share this database, those of the last hour included, and the pools they share."""

    database: DatabaseShape
    daemons: list[DaemonShape]
    pools: list[PoolShape]
