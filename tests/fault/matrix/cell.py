"""One cell: a daemon comes to a fault point and something breaks there; afterwards the books must be right."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.broker.seam import create_topic
from tests.db.writing import rows
from tests.fault.matrix.check import wrongs
from tests.fault.matrix.ground import Ground, filled, read_only
from tests.fault.processes import descendants, kill_all
from tests.fault.storm import free_port
from tests.fault.warm import ROOT, Living, Warm, is_stopped

LEASE_S = 1.0
MEETS_S, SETTLES_S = 20.0, 60.0
# How long a disk stays full, and a store read-only.
LASTS_S = 0.3
_LOOK_S = 0.01
_ANSWER_S = 4.0
# Without it each client reads all certificates there are.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_UNDONE = """
    select count(*) from runs where state in ('queued', 'running', 'waiting') and pipeline not in ('ticked', 'endless')
"""


@dataclass(frozen=True)
class Recipe:
    """How a daemon is brought to some points. `act` does it and lasts until it is acknowledged, whatever breaks.

    `before` is done first, with daemons of its own. `ends` are the states in which its runs may end.
    Where it is `below`, processes of the daemon come to its points, not only the daemon.
    """

    name: str
    pipelines: Sequence[str]
    act: Callable[[Acting], Awaitable[None]]
    before: Callable[[Acting], Awaitable[None]] | None = None
    variables: Sequence[tuple[str, str]] = ()
    roles: str = "api,triggers,executor"
    ends: Sequence[str] = ("succeeded",)
    kafka: bool = False
    below: bool = False
    artifacts: bool = False
    empty: bool = False


@dataclass
class Acting:
    """What a recipe has in its hands."""

    ground: Ground
    warm: Warm
    recipe: Recipe
    folder: Path
    dsn: str
    topic: str
    living: list[Living] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    # Which daemon is asked first.
    first: int = 0

    async def daemon(self, faults: str = "", *, place: int | None = None, **more: str) -> Living:
        """One more daemon, or one in another's place."""
        number, port = len(self.urls) if place is None else place, free_port()
        self.urls[number : number + 1] = [f"http://127.0.0.1:{port}"]
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")},
            "PYTHONPATH": str(ROOT),
            "TIDEMILL_DATABASE_URL": self.dsn,
            "TIDEMILL_HOME": str(self.folder / f"home-{number}"),
            "TIDEMILL_ROOT": str(self.folder),
            "TIDEMILL_ARTIFACTS": (self.folder / "store").as_uri(),
            "TIDEMILL_PIPELINES": ",".join(map(_spec, self.recipe.pipelines)),
            "TIDEMILL_ROLES": self.recipe.roles,
            "TIDEMILL_HTTP_PORT": str(port),
            "TIDEMILL_EXECUTOR_LEASE_S": f"{LEASE_S:g}",
            "TIDEMILL_EXECUTOR_DRAIN_S": "1",
            "TIDEMILL_LOG_LEVEL": "warning",
            "TEST_FOLDER": str(self.folder),
            "TEST_TOPIC": self.topic,
            "TIDEMILL_FAULTS": faults,
        }
        if self.recipe.kafka:
            servers = {"BOOTSTRAP_SERVERS": self.ground.broker.servers, "SESSION_S": "3", "CREATE_TOPICS": "true"}
            variables |= {f"TIDEMILL_KAFKA_{name}": value for name, value in servers.items()}
            variables["TIDEMILL_LIFECYCLE_TOPIC"] = f"{self.topic}-told"
            variables["TIDEMILL_REGISTRY_URL"] = self.ground.registry
        one = await self.warm.start({**variables, **dict(self.recipe.variables), **more}, self.folder / f"log-{number}")
        self.living.append(one)
        return one

    async def call(self, method: str, path: str, body: Any = None, *, expect: Sequence[int] = (), **more: Any) -> Any:
        """Ask one daemon after the other until there is an answer that says it is done (or one of `expect`)."""
        async with httpx.AsyncClient(timeout=_ANSWER_S, verify=_NO_TLS) as http:
            for attempt in range(10_000):
                url = self.urls[(self.first + attempt) % len(self.urls)]
                with contextlib.suppress(httpx.HTTPError):
                    answer = await http.request(method, f"{url}{path}", json=body, **more)
                    if answer.is_success or answer.status_code in expect:
                        return answer
                    if answer.status_code not in (404, 409, 429, 503, 507):
                        raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
                await asyncio.sleep(0.02)
        raise AssertionError("unreachable")

    async def tell(self, kind: str, event_id: str = "1", data: Any = None) -> None:
        """Send an event until it is acknowledged."""
        headers = {"Content-Type": "application/cloudevents+json"}
        event = {"specversion": "1.0", "source": "matrix", "id": event_id, "type": f"matrix.{kind}", "data": data}
        await self.call("POST", "/api/v1/events", event, headers=headers)
        self.acknowledged.append(f"{kind} {event_id}")

    async def until(self, query: str, *arguments: Any) -> Any:
        """Wait until a query finds something true, whatever happens to the server; the answer is what it finds."""
        while True:
            with contextlib.suppress(Exception):
                [row] = await rows(self.dsn, f"select ({query}) as found", *arguments)
                if row["found"]:
                    return row["found"]
            await asyncio.sleep(0.03)

    async def run_of(self, pipeline: str, *states: str) -> int:
        """The first run of a pipeline, once it is in one of these states."""
        query = "select min(id) from runs where pipeline = $1 and state = any ($2::text[])"
        found: int = await self.until(query, pipeline, list(states))
        return found

    def points(self) -> list[str]:
        """Those that were met."""
        file = self.folder / "points"
        return file.read_text().split() if file.exists() else []

    def log(self) -> str:
        """What all daemons said."""
        return "".join(file.read_text(errors="replace") for file in sorted(self.folder.glob("log-*")))


async def make_topics(acting: Acting) -> None:
    """Those that a recipe reads and tells; the broker forgets them as it restarts."""
    for topic in (acting.topic, f"{acting.topic}-told"):
        await create_topic(acting.ground.broker.servers, topic, 1)


def _spec(pipeline: str) -> str:
    return pipeline if ":" in pipeline else f"tests.fault.matrix.pipelines:{pipeline}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell went: `wrong` is empty where all is well."""

    point: str
    kind: str
    took_s: float
    wrong: Sequence[str]


Harm = Callable[["_Cell"], Awaitable[None]]


class _Cell:
    def __init__(self, acting: Acting, point: str, kind: str, nth: int) -> None:
        self.acting, self.point, self.kind, self.nth = acting, point, kind, nth
        self.victim: Living
        self.wrong: list[str] = []
        # The daemon whose lease has lapsed, and what it had written by then.
        self.lapsed: tuple[int, tuple[Any, ...]] | None = None

    async def run(self) -> None:
        acting, recipe = self.acting, self.acting.recipe
        if recipe.before is not None:
            await recipe.before(acting)
        action, harm = HARMS[self.kind]
        self.victim = await acting.daemon(f"{self.point}={action}@{self.nth},*=note:{acting.folder / 'points'}")
        async with asyncio.TaskGroup() as tasks:
            act = tasks.create_task(recipe.act(acting))
            if not await self._met(action):
                act.cancel()
                self.wrong.append(f"the point was not met in {MEETS_S:g} s: it met {self.acting.points()}")
                return
            await harm(self)
            await self._settle(act)
        if self.lapsed is not None and await _written(acting, self.lapsed[0]) != self.lapsed[1]:
            self.wrong.append("who was stopped wrote under a lease that had lapsed")
        self.wrong += await wrongs(acting.dsn, acting.folder, recipe.ends, acting.acknowledged)
        if "Traceback" in acting.log():
            self.wrong.append("a daemon ended, or went on, with a traceback")

    async def _met(self, action: str) -> bool:
        ends = time.monotonic() + MEETS_S
        while time.monotonic() < ends:
            if action == "stop" and self.standing():
                return True
            if action == "crash" and (self.victim.code == 137 or self._died_below()):
                return True
            if action.startswith(("clock", "full")) and self.point in self.acting.points():
                return True
            if self.victim.code not in (None, 137):
                self.wrong.append(f"the daemon ended with {self.victim.code}")
                return False
            await asyncio.sleep(_LOOK_S)
        return False

    def standing(self) -> list[int]:
        """Who has stopped: the daemon, or a process of its own. Those that wait for a call are seen as well."""
        if self.victim.code is not None:
            return []
        mine = [self.victim.pid, *(descendants(self.victim.pid) if self.point in self.acting.points() else [])]
        return [pid for pid in mine if is_stopped(pid)]

    def _died_below(self) -> bool:
        """Whether it was a process of the daemon's that crashed, not the daemon."""
        return self.point in self.acting.points() and self.victim.code is None and self.acting.recipe.below

    async def _settle(self, act: asyncio.Task[None]) -> None:
        try:
            async with asyncio.timeout(SETTLES_S):
                await self._keep_alive(act)
                while await self._undone():
                    await self._revive()
                    await asyncio.sleep(0.03)
        except TimeoutError:
            act.cancel()
            left = await rows(
                self.acting.dsn, "select id, pipeline, state, failure from runs where state <> 'succeeded'"
            )
            done = "acknowledged" if act.done() and not act.cancelled() else "not acknowledged"
            self.wrong.append(f"after {SETTLES_S:g} s it is {done}, and left are {[tuple(one) for one in left]}")

    async def _keep_alive(self, act: asyncio.Task[None]) -> None:
        while not act.done():
            await self._revive()
            await asyncio.wait([act], timeout=0.05)
        act.result()

    async def _revive(self) -> None:
        """As a supervisor does: start another where none lives."""
        if all(one.code is not None for one in self.acting.living):
            await self.acting.daemon()

    async def _undone(self) -> bool:
        with contextlib.suppress(Exception):
            [row] = await rows(self.acting.dsn, _UNDONE)
            return bool(row["count"])
        return True

    def go_on(self) -> None:
        """Let the victim, which stands at its point."""
        for pid in self.standing():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def _crashed(cell: _Cell) -> None:
    await cell.acting.daemon()


async def _slept(cell: _Cell) -> None:
    """Past its lease: another one takes over. What wakes then writes nothing under its old name."""
    acting = cell.acting
    [stopped, *_] = cell.standing()
    mine = [row["id"] for row in await _daemons(acting, "pid = $1 and state = 'alive'", stopped)]
    await acting.daemon()
    if not mine:
        # It has no lease yet that could lapse.
        await asyncio.sleep(1.2 * LEASE_S)
        cell.go_on()
        return
    async with asyncio.timeout(SETTLES_S):
        while not await _daemons(acting, "id = $1 and state = 'lapsed'", mine[0]):
            await asyncio.sleep(_LOOK_S)
    cell.lapsed = mine[0], await _written(acting, mine[0])
    cell.go_on()
    acting.urls.reverse()


async def _daemons(acting: Acting, where: str, value: Any) -> Sequence[Any]:
    with contextlib.suppress(Exception):
        return await rows(acting.dsn, f"select id from daemons where {where}", value)
    return []


async def _written(acting: Acting, daemon: int) -> tuple[Any, ...]:
    query = """
        select (select count(*) from run_log where daemon = $1), (select renewed_at from daemons where id = $1),
            (select count(*) from runs where owner = $1)"""
    [row] = await rows(acting.dsn, query, daemon)
    return tuple(row)


async def _restarted(cell: _Cell) -> None:
    await cell.acting.ground.restart()
    cell.go_on()


async def _cut(cell: _Cell) -> None:
    await cell.acting.ground.cut(cell.acting.dsn)
    cell.go_on()


async def _without_broker(cell: _Cell) -> None:
    broker = cell.acting.ground.broker
    await broker.stop()
    cell.go_on()
    await asyncio.sleep(LASTS_S)
    await broker.start()
    await make_topics(cell.acting)


async def _full(cell: _Cell) -> None:
    """No room on Postgres' disk for a while. It may end for that: then it is started again, once there is room."""
    with filled(cell.acting.ground.home):
        cell.go_on()
        await asyncio.sleep(LASTS_S)
    if not await _answers(cell.acting.ground.dsn):
        await cell.acting.ground.start_again()


async def _answers(dsn: str) -> bool:
    for _ in range(100):
        with contextlib.suppress(Exception):
            return bool(await rows(dsn, "select 1"))
        await asyncio.sleep(0.02)
    return False


async def _no_writing(cell: _Cell) -> None:
    with read_only(cell.acting.folder / "store"):
        cell.go_on()
        await asyncio.sleep(LASTS_S)


async def _alone(cell: _Cell) -> None:
    """What happened at the point is all."""


async def _clock(cell: _Cell) -> None:
    """A second daemon, whose clock is right, drives beside the one whose clock is wrong."""
    await cell.acting.daemon()


HARMS: dict[str, tuple[str, Harm]] = {
    "crash": ("crash", _crashed),
    "stop past the lease": ("stop", _slept),
    "restart Postgres": ("stop", _restarted),
    "cut connections": ("stop", _cut),
    "restart broker": ("stop", _without_broker),
    "full disk": ("stop", _full),
    "read-only store": ("stop", _no_writing),
    "full store": ("full", _alone),
    "clock an hour ahead": ("clock:3600", _clock),
    "clock an hour behind": ("clock:-3600", _clock),
}


async def run_cell(
    ground: Ground, warm: Warm, folder: Path, recipe: Recipe, point: str, kind: str, nth: int
) -> Outcome:
    """Never raises for what a daemon does: that is in the outcome."""
    began = time.monotonic()
    folder.mkdir(parents=True)
    (folder / "landing").mkdir()
    async with ground.database(empty=recipe.empty) as dsn:
        acting = Acting(ground, warm, recipe, folder, dsn, f"t-{folder.name}")
        if recipe.kafka:
            await make_topics(acting)
        cell = _Cell(acting, point, kind, nth)
        try:
            await cell.run()
        except* (AssertionError, OSError, TimeoutError) as group:
            cell.wrong.append(f"{[repr(one) for one in group.exceptions]}")
        finally:
            if recipe.below:
                # What was stopped does not hear that its daemon has gone.
                kill_all(pid for one in acting.living for pid in descendants(one.pid))
            for one in acting.living:
                one.signal(signal.SIGKILL)
            await asyncio.gather(*[one.ended() for one in acting.living])
        if cell.wrong:
            print(acting.log()[-6000:], file=sys.stderr)
    return Outcome(point, kind, time.monotonic() - began, cell.wrong)
