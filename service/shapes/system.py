"""What the API answers of the installation as a whole. The shapes of everything else: `service.shapes.answers`."""

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


class SinkShape(TypedDict):
    """Somebody outside who is told how runs go. `lag_s`: how long the oldest thing waits that was not told yet.

    `failing_since` and `note` tell what holds it up, if anything does. `refused`: what the other side will not have.
    """

    name: str
    delivered: int
    refused: int
    lag_s: float
    moved_at: datetime
    failing_since: datetime | None
    note: str


class BrokerShape(TypedDict):
    """The Kafka of a process. `embedded`: it runs for this process alone, on the same machine."""

    bootstrap_servers: str
    embedded: bool


class SystemAnswer(TypedDict):
    """The processes that share this database, those of the last hour included, the pools they share, and the sinks that
    this process delivers for, or stands by for. `broker` is this process's own, null where it has none.
    """

    database: DatabaseShape
    daemons: list[DaemonShape]
    pools: list[PoolShape]
    sinks: list[SinkShape]
    broker: BrokerShape | None
