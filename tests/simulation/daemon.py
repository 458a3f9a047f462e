"""One daemon of the simulation: the real writer, inbox, executor, driver and recovery, on tables in memory.

Only three things are not real: what the writer's transaction talks to, what is read, and the stages' work.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import asyncpg
import orjson

from service.catalogue import Catalogue
from service.db.reads import Reads
from service.db.registry import PostgresRegistry
from service.db.writer import Unit, Writer
from service.errors import DatabaseUnavailable
from service.inbox import PostgresInbox
from service.loops.beginnings import Beginnings
from service.loops.checks import Checks
from service.loops.driver import Driver
from service.loops.executor import Executor
from service.loops.fanout import FanOut
from service.loops.recovery import Recovery
from service.loops.subruns import SubRuns
from service.outbox import Outbox
from stages.artifacts import ArtifactStore
from stages.call import Call
from stages.invoke import invoke
from stages.outcome import ErrorRecord, Failed, Lost, Outcome
from stages.plan import PlanStage
from tests.simulation.tables import BEGINNING, Tables
from triggers.cloudevents import restore
from triggers.event import Event

LEASE_S = 4.0
PLACES = 3
Watched = Callable[[Call, bool], None]
OUTCOMES = ("transient", "permanent", "lost")


@dataclass
class Weather:
    """How rough it is: chances of each trouble, and the dice. Once `calm`, nothing goes wrong any more."""

    dice: random.Random
    slow: float
    cut: float
    stage_trouble: float
    calm: bool = False

    def happens(self, chance: float) -> bool:
        """Whether something of this chance happens now."""
        return not self.calm and self.dice.random() < chance

    def pause_s(self) -> float:
        """How long a round trip takes."""
        return self.dice.uniform(0.05, 1.5) if self.happens(self.slow) else self.dice.uniform(0.0005, 0.005)


class Skewed:
    """A process's own clock, which may be wrong by as much as it likes."""

    def __init__(self, ahead: timedelta) -> None:
        self._ahead = ahead

    def now(self) -> datetime:
        """See `triggers.base.Clock`."""
        return BEGINNING + self._ahead + timedelta(seconds=asyncio.get_running_loop().time())

    async def sleep(self, seconds: float) -> None:
        """See `triggers.base.Clock`."""
        await asyncio.sleep(seconds)


@dataclass
class Line:
    """The connection of one process: it may be slow, cut at either side of a commit, or stand still for long."""

    weather: Weather
    awake: asyncio.Event

    async def there(self) -> None:
        """A statement is on its way."""
        await asyncio.sleep(self.weather.pause_s())
        await self.awake.wait()
        if self.weather.happens(self.weather.cut):
            raise DatabaseUnavailable("the connection was cut")

    async def back(self) -> None:
        """Its answer is on its way."""
        await asyncio.sleep(self.weather.pause_s())
        await self.awake.wait()
        if self.weather.happens(self.weather.cut):
            raise DatabaseUnavailable("the connection was cut after the commit")


class SimulatedWriter(Writer):
    """Gathers, flushes, repeats and answers as it does; its transactions change tables in memory."""

    def __init__(self, tables: Tables, line: Line) -> None:
        async def register(connection: Any) -> int:
            return tables.register()

        super().__init__("", register=register, lease_s=LEASE_S)
        self._tables, self._line = tables, line
        self.daemon = tables.register()

    async def _transact(self, units: list[Unit]) -> list[list[Any]]:
        await self._line.there()
        if self._line.weather.happens(self._line.weather.cut):
            raise asyncpg.exceptions.DeadlockDetectedError("two processes wanted each other's rows")
        if not self._tables.renew(self.daemon):
            self.daemon = self._tables.register()
        answers = self._tables.write(self.daemon, LEASE_S, [unit.operations for unit in units])
        await self._line.back()
        return answers


class SimulatedReads(Reads):
    """Reads the same tables."""

    def __init__(self, tables: Tables, line: Line) -> None:
        super().__init__("", size=1)
        self._tables, self._line = tables, line

    async def position(self, scope: str, key: str) -> str | None:
        """See `Reads`."""
        await self._line.there()
        return self._tables.positions.get((scope, key))

    async def progress(self, run_ids: Sequence[int]) -> tuple[Mapping[int, Any], Mapping[int, Any]]:
        """See `Reads`."""
        await self._line.there()
        found = {run_id: self._tables.progress(run_id) for run_id in run_ids}
        return {n: attempts for n, (attempts, _) in found.items()}, {n: gates for n, (_, gates) in found.items()}

    async def joined(self, run_ids: Sequence[int]) -> Mapping[int, Sequence[Event]]:
        """See `Reads`."""
        await self._line.there()
        return {
            run_id: [restore_json(self._tables.events[key]) for key in self._tables.runs[run_id].events[1:]]
            for run_id in run_ids
        }


def restore_json(envelope: bytes) -> Event:
    """An event out of its row."""
    return restore(orjson.loads(envelope))


class Troubled:
    """A runner whose attempts take their time, and fail or get lost by the weather. `watched` hears of each, twice."""

    def __init__(self, store: ArtifactStore, weather: Weather, beginnings: Beginnings, watched: Watched):
        self._store, self._weather, self._beginnings, self._watched = store, weather, beginnings, watched

    async def run(self, stage: PlanStage, call: Call) -> Outcome:
        """See `Runner`."""
        self._beginnings.began(call)
        self._watched(call, False)
        await asyncio.sleep(self._weather.dice.choice((0.0, 0.001, 0.05, 0.3)))
        self._watched(call, True)
        if self._weather.happens(self._weather.stage_trouble):
            how = self._weather.dice.choices(OUTCOMES, (8, 1, 2))[0]
            return (
                Lost("killed") if how == "lost" else Failed(ErrorRecord("Trouble", how, transient=how == "transient"))
            )
        return await invoke(stage, call, self._store)

    async def close(self) -> None:
        """See `Runner`."""


class SimulatedDaemon:
    """A process from its start to its death. `run` it in a task, and cancel that to kill it."""

    def __init__(
        self, tables: Tables, weather: Weather, catalogue: Catalogue, store: ArtifactStore, watched: Callable[..., None]
    ) -> None:
        self.awake = asyncio.Event()
        self.awake.set()
        line = Line(weather, self.awake)
        self.writer, reads = SimulatedWriter(tables, line), SimulatedReads(tables, line)
        clock, outbox = Skewed(timedelta(hours=weather.dice.choice((-1, 0, 1)))), Outbox(catalogue)
        beginnings = Beginnings(asyncio.get_running_loop(), self.writer)
        driver = Driver(
            writer=self.writer,
            reads=reads,
            clock=clock,
            store=store,
            runners={"inline": Troubled(store, weather, beginnings, partial(watched, self))},
            checks=Checks(store, clock, self.writer, PostgresRegistry(self.writer, reads)),
            fan_out=FanOut(store),
            sub_runs=SubRuns(reads, store),
            outbox=outbox,
            beginnings=beginnings,
            suspects=asyncio.Semaphore(2),
        )
        self.executor = Executor(writer=self.writer, reads=reads, catalogue=catalogue, driver=driver, places=PLACES)
        self.inbox = PostgresInbox(self.writer, reads, catalogue, self.executor)
        outbox.opens_into(self.inbox)
        self._recovery = Recovery(self.writer, lease_s=LEASE_S)

    async def run(self) -> None:
        """Until cancelled, as by `kill -9`: its writer has no line to the tables from then on."""
        async with asyncio.TaskGroup() as tasks:
            for loop in (self.writer, self.executor, self._recovery):
                tasks.create_task(loop.run())
