"""The one group-commit writer of a process: every durable write goes through it.

A flush is one transaction that holds whatever gathered while the last one was in flight. Its first statement renews
the process's lease; a process whose lease lapsed registers anew and goes on under a new identity, and what it wrote for
runs that others adopted meanwhile is refused by their epochs. A flush of what is usual (`service.db.usual`) is a single
statement; where it turns out not to be so, nothing is written by that, and each kind is written by its own statements.

Whatever waits when a flush has been answered is sent before those who were answered go on. Runs in step would have
nothing waiting then: so the first half of a large flush is told, and goes on, before the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import asyncpg
import orjson

from service.db.connect import OUTAGES, REFUSALS, connect, is_outage, sql, telling
from service.db.order import let_go
from service.db.pauses import NONE_KNOWN, Pauses
from service.db.usual import Usual
from service.db.waiting import Waiting
from service.errors import DatabaseUnavailable, ServiceError
from triggers import faults

logger = logging.getLogger("tidemill.writer")

# The callers of a flush of so many go on by halves: Postgres writes for one while the other is on the loop.
LARGE = 100
LAZY_S = 0.05
# After a flush that was not as usual, so many are not tried as if they were.
UNUSUAL = 16
RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0)

WAKE_CHANNEL = "tidemill_wake"
LOG_CHANNEL = "tidemill_log"
# What people look at has changed, and it is in no log.
CHANGED = "changed"

Answers = list[list[Any]]


@dataclass(slots=True)
class Flush:
    """One transaction in the making. Operations add to its log and its notifications, and name the sequences of runs
    in which the next may have to be let go. `queued` are the new runs that nobody has taken yet: where some are left in
    the end, whoever claims is told. `pauses` are those that stood when it began.
    """

    connection: asyncpg.Connection
    daemon: int
    pauses: Pauses = NONE_KNOWN
    log: list[dict[str, Any]] = field(default_factory=list)
    wakes: set[str] = field(default_factory=set)
    sequences: set[str] = field(default_factory=set)
    queued: set[int] = field(default_factory=set)


class Operation:
    """One durable change. Operations of one class in one flush are written together, classes in `order`.

    Every operation must be safe to write again: a flush whose commit was not confirmed is repeated.
    """

    order: ClassVar[int]
    # Whether it need not be written once its caller has given up waiting.
    abandonable: ClassVar[bool] = False
    # Whether it goes before whatever waits, in a transaction of its own: others may wait for rows, and it for them.
    alone: ClassVar[bool] = False
    # Whether it writes nothing, and is as well done after the others have committed.
    reads: ClassVar[bool] = False
    # Whether it is left out, and its answer None, where nothing came of the others of its unit.
    follows: ClassVar[bool] = False

    @property
    def weight_bytes(self) -> int:
        """About how much it writes, where that may be much."""
        return 0

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Any]) -> Sequence[Any]:
        """Write all of them; one answer for each, in order. An exception as an answer goes to that caller only."""
        raise TypeError(f"{cls.__name__} does not say how it is written")

    def in_vain(self, answer: Any) -> bool:
        """Whether that answer says that nothing was done: somebody was quicker, or there is nothing of the kind."""
        return isinstance(answer, Exception)

    def usual(self, given: Usual) -> bool:
        """Add it to what is usual, if it is of that kind."""
        return False

    def answer(self, given: Usual) -> Any:
        """What `write` would have answered, where it was written as usual."""
        return None

    def committed(self, answer: Any) -> None:
        """Called once the transaction holds, before the caller resumes and even if the caller is gone."""

    def refused(self) -> None:
        """Called when the database refused this operation: nothing of its unit was written."""


@dataclass(slots=True)
class Unit:
    """Operations that must hold together, and the caller who waits for them (None: nobody)."""

    operations: tuple[Operation, ...]
    future: asyncio.Future[list[Any]] | None

    @property
    def weight_bytes(self) -> int:
        """About how much it writes."""
        return sum([operation.weight_bytes for operation in self.operations])

    @property
    def alone(self) -> bool:
        """Whether nothing else is written with it."""
        return any(operation.alone for operation in self.operations)

    @property
    def abandoned(self) -> bool:
        """Whether the caller gave up, so that nobody minds if this is never written."""
        given_up = self.future is not None and self.future.cancelled()
        return given_up and all(operation.abandonable for operation in self.operations)

    def resolve(self, answers: list[Any]) -> None:
        """Tell the caller what was committed."""
        if self.future is None or self.future.done():
            return
        for answer in answers:
            if isinstance(answer, Exception):
                self.future.set_exception(answer)
                return
        self.future.set_result(answers)

    def fail(self, error: Exception) -> None:
        """Tell the operations and the caller that nothing was written."""
        for operation in self.operations:
            operation.refused()
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)
        elif self.future is None:
            logger.error("a write nobody waits for was refused: %s", error)


class Writer:
    """Gathers operations and flushes them. Start it with `open`, then `run` it in a task."""

    def __init__(self, dsn: str, *, register: Callable[[asyncpg.Connection], Coroutine[Any, Any, int]], lease_s: float):
        self._dsn = dsn
        self._register = register
        # Asking which loop runs is a system call each time.
        self._loop = asyncio.get_running_loop()
        self._idle_s = lease_s / 4
        self.waiting: Waiting[Unit] = Waiting()
        self._answered: list[tuple[Unit, list[Any]]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._lazy_timer: asyncio.TimerHandle | None = None
        self._connection: asyncpg.Connection | None = None
        self._pauses = NONE_KNOWN
        self._unusual = 0
        self.daemon = 0
        self.outage: str | None = None
        self.commits = 0
        self.on_reconnect: list[Callable[[], None]] = []

    async def open(self) -> None:
        """Connect and register this process. Raises `DatabaseUnavailable`."""
        self._connection = await connect(self._dsn, by_index=True)
        with telling(self._dsn):
            self.daemon = await self._register(self._connection)

    def submit(self, *operations: Operation) -> asyncio.Future[list[Any]]:
        """Write `operations` in one transaction; await their answers, which are there after it has committed."""
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        self._put(Unit(operations, future))
        return future

    def post(self, *operations: Operation) -> None:
        """Write `operations` at once, without waiting for them."""
        self._put(Unit(operations, None))

    def later(self, *operations: Operation) -> None:
        """Write `operations` with the next flush, or in a moment if there is none. Lost in a crash before that."""
        self.waiting.put(Unit(operations, None))
        self._idle.clear()
        if self._lazy_timer is None:
            self._lazy_timer = self._loop.call_later(LAZY_S, self._wake.set)

    def _put(self, unit: Unit) -> None:
        self.waiting.put(unit)
        self._idle.clear()
        self._wake.set()

    async def drained(self) -> None:
        """Wait until everything given so far has been written."""
        self._wake.set()
        await self._idle.wait()

    async def run(self) -> None:
        """Flush until cancelled. An idle writer flushes now and then all the same: that renews the lease."""
        try:
            while True:
                await self._wait()
                units = self._take()
                self._tell()
                await self._write(units)
        finally:
            self._tell()
            if self._connection is not None:
                self._connection.terminate()

    async def _wait(self) -> None:
        if self._answered:
            # Those who were told already go on now, and may have more to write.
            await asyncio.sleep(0)
        if self.waiting and self._wake.is_set():
            return
        self._tell()
        if not self.waiting:
            self._idle.set()
        timer = self._loop.call_later(self._idle_s, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
        await asyncio.sleep(0)

    def _take(self) -> list[Unit]:
        units = self.waiting.take()
        if not self.waiting:
            self._wake.clear()
            if self._lazy_timer is not None:
                self._lazy_timer.cancel()
                self._lazy_timer = None
        return units

    async def _write(self, units: list[Unit]) -> None:
        """Write `units` whatever it takes: wait out outages, and single out the one the database refuses."""
        tries = 0
        while (kept := _wanted(units)) or not units:
            try:
                answers = await self._transact(kept)
            except asyncpg.exceptions.TransactionRollbackError as error:
                # Two processes wanted each other's rows, and Postgres undid this one: simply again.
                logger.info("repeating a flush: %s", str(error).splitlines()[0])
            except (*OUTAGES, *REFUSALS, DatabaseUnavailable) as error:
                if not (is_outage(error) or isinstance(error, DatabaseUnavailable)):
                    await self._single_out(kept, error)
                    return
                await self._reconnect(error, RETRY_S[min(tries, len(RETRY_S) - 1)])
                tries += 1
            else:
                self._recovered()
                for unit, answer in zip(kept, answers, strict=True):
                    for operation, told in zip(unit.operations, answer, strict=True):
                        operation.committed(told)
                self._answered += zip(kept, answers, strict=True)
                self._tell(0 if self.waiting or len(kept) < LARGE else len(kept) // 2)
                return

    def _tell(self, later: int = 0) -> None:
        """Tell those who have an answer, but for so many of the last."""
        count = len(self._answered) - later
        told, self._answered = self._answered[:count], self._answered[count:]
        for unit, answer in told:
            unit.resolve(answer)

    async def _single_out(self, units: list[Unit], error: Exception) -> None:
        if len(units) == 1:
            units[0].fail(ServiceError(f"the database refused a write: {error}"))
            return
        middle = len(units) // 2
        await self._write(units[:middle])
        await self._write(units[middle:])

    async def _transact(self, units: list[Unit]) -> Answers:
        kinds = _fault_points(units)
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = self._connection = await connect(self._dsn, by_index=True, daemon=self.daemon)
        answers = await self._as_usual(connection, units, kinds)
        if answers is None:
            answers = await self._by_kind(connection, units, kinds)
        for kind in kinds:
            await faults.reach(f"{kind}.committed")
        self.commits += 1
        return answers

    async def _as_usual(self, connection: asyncpg.Connection, units: list[Unit], kinds: list[str]) -> Answers | None:
        """Write all of it in one statement. None: something in it is not usual, and nothing is written."""
        given = self._usual(units)
        if given is None:
            return None
        await faults.reach("lease.renew")
        for kind in kinds:
            await faults.reach(f"{kind}.commit")
        if not await given.write(connection):
            self._unusual = UNUSUAL
            return None
        answers = [[None if one.reads else one.answer(given) for one in unit.operations] for unit in units]
        if given.reads:
            await _apply(Flush(connection, self.daemon), units, answers, only_reads=True)
        return answers

    def _usual(self, units: list[Unit]) -> Usual | None:
        if self._unusual or not units or self._pauses.by_place or self._pauses is NONE_KNOWN:
            self._unusual = max(self._unusual - 1, 0)
            return None
        given = Usual(self.daemon, self._pauses.version, (LOG_CHANNEL, WAKE_CHANNEL, CHANGED))
        for unit in units:
            for one in unit.operations:
                if one.reads:
                    given.reads = True
                elif not one.usual(given):
                    return None
        return given

    async def _by_kind(self, connection: asyncpg.Connection, units: list[Unit], kinds: list[str]) -> Answers:
        """Write each kind of operation by its own statements."""
        async with connection.transaction():
            await faults.reach("lease.renew")
            changes = await connection.fetchval(sql("renew_lease"), self.daemon)
            if changes is None:
                logger.warning("the lease of daemon %s lapsed; going on under a new one", self.daemon)
                self.daemon = await self._register(connection)
            if changes != self._pauses.version:
                self._pauses = await Pauses.standing(connection)
            answers: Answers = [[None] * len(unit.operations) for unit in units]
            await _apply(Flush(connection, self.daemon, self._pauses), units, answers)
            for kind in kinds:
                await faults.reach(f"{kind}.commit")
        return answers

    async def _reconnect(self, error: BaseException, delay_s: float) -> None:
        if self.outage is None:
            logger.warning("Postgres does not take writes (%s): waiting for it", error or type(error).__name__)
        self.outage = str(error) or type(error).__name__
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
        await asyncio.sleep(delay_s)

    def _recovered(self) -> None:
        if self.outage is not None:
            logger.warning("Postgres takes writes again")
            self.outage = None
            for callback in self.on_reconnect:
                callback()


def _wanted(units: list[Unit]) -> list[Unit]:
    """Leave out what was abandoned while it waited."""
    kept = []
    for unit in units:
        if unit.abandoned:
            unit.fail(ServiceError("the caller gave up"))
        else:
            kept.append(unit)
    return kept


def _fault_points(units: Sequence[Unit]) -> list[str]:
    """The names of the points around this commit: `writer`, and one for each class of operation in it."""
    if not faults.armed():
        return []
    return ["writer", *sorted({type(one).__name__.lower() for unit in units for one in unit.operations})]


def _in_vain(unit: Unit, answers: Sequence[Any]) -> bool:
    return all(one.in_vain(answer) for one, answer in zip(unit.operations, answers, strict=True))


async def _apply(flush: Flush, units: Sequence[Unit], answers: Answers, *, only_reads: bool = False) -> None:
    """Write the operations of all units, class by class; then the log and the notifications. `answers` are filled."""
    places: dict[type[Operation], list[tuple[int, int]]] = {}
    for row, unit in enumerate(units):
        for column, operation in enumerate(unit.operations):
            if operation.reads or not only_reads:
                places.setdefault(type(operation), []).append((row, column))
    for kind in sorted(places, key=lambda kind: kind.order):
        if kind.follows:
            places[kind] = [place for place in places[kind] if not _in_vain(units[place[0]], answers[place[0]])]
        operations = [units[row].operations[column] for row, column in places[kind]]
        for (row, column), answer in zip(places[kind], await kind.write(flush, operations), strict=True):
            answers[row][column] = answer
    if (flush.sequences and await let_go(flush.connection, flush.sequences)) or flush.queued:
        flush.wakes.add("")
    if flush.log:
        await flush.connection.execute(sql("log"), flush.daemon, orjson.dumps(flush.log), LOG_CHANNEL)
    if flush.wakes:
        await flush.connection.execute(sql("wake"), WAKE_CHANNEL, list(flush.wakes))
