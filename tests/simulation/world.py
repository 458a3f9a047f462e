"""One simulated stretch of time from a seed: load, troubles, then calm; and what must have come of it."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from service.catalogue import Catalogue
from service.errors import ServiceError
from service.machine import POISON_LIMIT
from service.model import AttemptState, GateState, RunState
from stages.call import Call
from stages.stores import open_store
from tests.simulation.daemon import SimulatedDaemon, Weather, restore_json
from tests.simulation.loop import SimulatedLoop
from tests.simulation.pipelines import ALL, ASKED, BATCHES, GATHERED, MAPPED
from tests.simulation.tables import BEGINNING, RESULTS, Run, Tables, seconds_of
from triggers.base import Arrival, Offer, Position
from triggers.coalesce import Batch, Latest
from triggers.errors import TriggerError
from triggers.event import Event
from triggers.handling import Handling

DAEMONS, EVENTS, RECORDS = 3, 6, 8
ROUGH_S, PATIENCE_S = 20.0, 300.0
SOURCE = ("records", "0")
GATHER = Handling(coalesce=Batch(max_events=3, max_wait_s=1.0))
NEWEST = Handling(coalesce=Latest(quiet_s=0.5, max_wait_s=2.0))
Place = tuple[int, str, int, int]
ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)

_CATALOGUE = Catalogue({one.name: one for one in ALL}, {one.name: one.name for one in ALL})
_LOGGER = logging.getLogger("tidemill")


@dataclass
class Verdict:
    """What came of a seed. `wrong` says which promises were broken; `deaths` and `lapses` how rough it was."""

    seed: int
    wrong: list[str] = field(default_factory=list)
    calls: int = 0
    deaths: int = 0
    lapses: int = 0
    took_s: float = 0.0
    told: list[str] = field(default_factory=list)


def simulate(seed: int, *, epochs: bool = True, leases: bool = True) -> Verdict:
    """The same seed comes to the same end. Without one of its fences the database keeps no promise."""
    loop, level, chance = SimulatedLoop(), _LOGGER.level, random.getstate()
    random.seed(seed)  # retries are spread by chance
    _LOGGER.setLevel(logging.CRITICAL)
    try:
        return loop.run_until_complete(_World(seed, loop, epochs, leases).play())
    finally:
        loop.close()
        _LOGGER.setLevel(level)
        random.setstate(chance)


class _World:
    def __init__(self, seed: int, loop: SimulatedLoop, epochs: bool, leases: bool) -> None:
        self.dice = random.Random(seed)
        self.loop = loop
        self.tables = Tables(loop.time, epochs, leases)
        self.verdict = Verdict(seed, told=self.tables.told)
        rough = self.dice.choice((0.0, 0.02, 0.1))
        self.weather = Weather(self.dice, slow=rough, cut=rough / 2, stage_trouble=self.dice.choice((0.0, 0.05, 0.2)))
        self.store = open_store("memory://")
        self.alive: dict[SimulatedDaemon, asyncio.Task[None]] = {}
        self.over_s: dict[tuple[SimulatedDaemon, Place], float] = {}
        self.acknowledged: set[UUID] = set()
        self.read_to = 0

    async def play(self) -> Verdict:
        """Load and troubles together, then calm until all is over."""
        async with asyncio.TaskGroup() as tasks:
            self.tasks = tasks
            for _ in range(DAEMONS):
                self._start()
            people = [tasks.create_task(each) for each in (self._decide(), self._trouble())]
            clients = [tasks.create_task(self._send(number)) for number in range(EVENTS)]
            clients += [tasks.create_task(self._read()) for _ in range(2)]
            await asyncio.wait([*clients, people[1]])
            await self._settle()
            for task in (*people, *self.alive.values()):
                task.cancel()
        self.verdict.took_s = self.loop.time()
        self.verdict.lapses = len(self.tables.lapsed)
        self.verdict.wrong += self._wrong()
        return self.verdict

    def _start(self) -> None:
        one = SimulatedDaemon(self.tables, self.weather, _CATALOGUE, self.store, self._watch)
        self.alive[one] = self.tasks.create_task(self._live(one))

    async def _live(self, one: SimulatedDaemon) -> None:
        with suppress(asyncio.CancelledError):
            await one.run()

    def _watch(self, one: SimulatedDaemon, call: Call, over: bool) -> None:
        """A stage's function is called: never once its result is there, and never before a retry is due."""
        if over:
            self.over_s[one, (call.run_id, call.stage, call.item, call.attempt)] = self.loop.time()
            return
        self.verdict.calls += 1
        run = self.tables.runs[call.run_id]
        if run.owner != one.writer.daemon or run.state is not RunState.RUNNING:
            return
        for place, row in self.tables.attempts.items():
            run_id, stage, item, _ = place
            if (run_id, stage, item) != (call.run_id, call.stage, call.item):
                continue
            if row.state in RESULTS:
                self.verdict.wrong.append(f"{stage} of run {run_id} was tried again after its result was there")
            if row.state is AttemptState.FAILED:
                over_s = self.over_s.get((one, place), self.tables.written_s[place])
                early_s = over_s + (row.retry_in_s or 0.0) - self.loop.time()
                if early_s > 0.002:
                    self.verdict.wrong.append(f"{stage} of run {run_id} was tried {early_s:.3f} s early")

    async def _trouble(self) -> None:
        """Daemons die and are replaced, or stand still for longer than their lease."""
        while self.loop.time() < ROUGH_S:
            await asyncio.sleep(self.dice.uniform(0.2, 6.0))
            one = self.dice.choice(list(self.alive))
            if self.dice.random() < 0.5:
                self.verdict.deaths += 1
                self.tables.tell(f"the process of lease {one.writer.daemon} dies")
                self.alive.pop(one).cancel()
                await asyncio.sleep(self.dice.choice((0.0, 1.0)))
                self._start()
            elif one.awake.is_set():
                self.tables.tell(f"the process of lease {one.writer.daemon} stands still")
                one.awake.clear()
                self.loop.call_later(self.dice.uniform(1.0, 12.0), one.awake.set)
        self.weather.calm = True

    async def _send(self, number: int) -> None:
        """A client that posts an event, to whoever is there, until it is told that it is durable; some do twice."""
        pipeline = self.dice.choice((ASKED, MAPPED, GATHERED, GATHERED))
        handling = Handling() if pipeline != GATHERED else self.dice.choice((GATHER, NEWEST))
        await asyncio.sleep(self.dice.uniform(0.0, ROUGH_S / 2))
        event = Event(source="client", id=str(number), type="test", time=BEGINNING)
        trigger = "test" if handling is not NEWEST else "newest"
        for _ in range(self.dice.choice((1, 1, 2))):
            await self._accept(Arrival(event, [Offer(pipeline, trigger, handling=handling)]))
        self.acknowledged.add(event.key)

    async def _accept(self, arrival: Arrival) -> None:
        while True:
            one = self.dice.choice(list(self.alive))
            with suppress(TriggerError, ServiceError):
                await one.inbox.accept([arrival])
                return
            await asyncio.sleep(0.1)

    async def _read(self) -> None:
        """One of two readers of a partition, who both think it is theirs: each takes up to three records at a time."""
        while self.read_to < RECORDS:
            one = self.dice.choice(list(self.alive))
            with suppress(TriggerError, ServiceError):
                at = await one.inbox.position(*SOURCE) or ""
                end = min(int(at or 0) + self.dice.randint(1, 3), RECORDS)
                if end == int(at or 0):
                    return
                event = Event(source="records", id=f"{at or 0}-{end}", type="test", time=BEGINNING)
                moved = Position(*SOURCE, str(end), at)
                await one.inbox.accept([Arrival(event, [Offer(BATCHES, "test")])], [moved])
                self.read_to = max(self.read_to, end)
                self.acknowledged.add(event.key)
            await asyncio.sleep(self.dice.uniform(0.0, 2.0))

    async def _decide(self) -> None:
        """A person who approves whatever waits."""
        while True:
            await asyncio.sleep(1.0)
            for (run_id, _), gate in list(self.tables.gates.items()):
                run = self.tables.runs[run_id]
                if gate.state is GateState.WAITING and run.state not in ENDED:
                    gate.state = GateState.PASSED
                    run.poked = run.state is RunState.RUNNING
                    if run.state is RunState.WAITING:
                        run.ready_s = self.loop.time()

    async def _settle(self) -> None:
        for one in self.alive:
            one.awake.set()
        give_up_s = self.loop.time() + PATIENCE_S
        while any(run.state not in ENDED for run in self.tables.runs.values()) and self.loop.time() < give_up_s:
            await asyncio.sleep(1.0)

    def _wrong(self) -> Iterator[str]:
        """Every promise that was broken."""
        yield from (f"{key} was acknowledged and is not there" for key in self.acknowledged - self.tables.events.keys())
        held = Counter(key for run in self.tables.runs.values() for key in run.events)
        yield from (f"event {key} is in {held[key]} runs" for key in self.tables.events if held[key] != 1)
        batches = sorted(tuple(map(int, e.id.split("-"))) for e in self._events() if e.source == "records")
        ends = [0, *(end for _, end in batches)]
        if [start for start, _ in batches] != ends[:-1] or ends[-1] != RECORDS:
            yield f"batches {batches} are not each record once"
        for run in self.tables.runs.values():
            yield from self._wrong_run(run)

    def _events(self) -> Iterator[Any]:
        return (restore_json(envelope) for envelope in self.tables.events.values())

    def _wrong_run(self, run: Run) -> Iterator[str]:
        attempts = {place: one for place, one in self.tables.attempts.items() if place[0] == run.id}
        results = Counter(place[1:3] for place, one in attempts.items() if one.state in RESULTS)
        yield from (f"run {run.id}: {unit} has {n} results" for unit, n in results.items() if n > 1)
        if run.endings != 1:
            yield f"run {run.id} of {run.row.pipeline} is {run.state} and ended {run.endings} times"
        elif run.state is RunState.FAILED and not _excused(list(attempts.values()), run):
            yield f"run {run.id} failed for no reason"
        elif run.state is RunState.SUCCEEDED and {stage for stage, _ in results} != _stages(run):
            yield f"run {run.id} succeeded without all of its results"
        if run.gathering is not None and run.started_s is not None:
            due_s = seconds_of(run.gathering.due_at)
            if run.started_s < due_s - 0.002:
                yield f"run {run.id} started {due_s - run.started_s:.3f} s before it was due"


def _excused(attempts: list[Any], run: Run) -> bool:
    failed = [one for one in attempts if one.state is AttemptState.FAILED]
    tries = Counter((one.stage, one.item) for one in attempts)
    return (
        any(not one.transient for one in failed) or max(tries.values(), default=0) >= 4 or run.adoptions >= POISON_LIMIT
    )


def _stages(run: Run) -> set[str]:
    return {stage.name for stage in _CATALOGUE.pipelines[run.row.pipeline].plan.order}
