"""`kill -9`, a thousand times, at random moments and at the fault points: what is lost, and who drives what is left.

python -m tests.fault.thousand --kills 100 --seed 7

Four daemons share a database; each is started again as it has died. Every other life is to end at a fault point, which
are drawn in turn; one that does not come to its point, and all the others, are killed after a random while, as soon as
two others have been there for a lease. Who dies at its point does not wait for that: then its runs are told of apart.

The last of the kills are at the points that none of them came by, where daemons are brought as in the matrix.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from service.fault_points import points
from tests.fault.matrix.cell import Acting, Recipe, make_topics
from tests.fault.matrix.check import wrongs
from tests.fault.matrix.ground import ground
from tests.fault.matrix.table import Place, places
from tests.fault.matrix.whole import Told, run_all
from tests.fault.mourning import Death, Mourning
from tests.fault.warm import Living, Warm

DAEMONS, LEASE_S, HEIRS = 4, 2.0, 2
# So many cells of the matrix at once.
LANES = 3
# Four hundred kills leave some 300 MiB behind.
ROOM_MIB = 4_000
# A life that is not to end at a point lasts so long; one that is, at most twice as long.
LIVES_S = (1.0, 4.0)
SETTLES_S = 60.0
_PAUSE_S = 0.2
_LOOK_S = 0.02
PIPELINES = (
    *("flow", "worked", "recorded", "landed", "ticked", "decided", "followed", "broken", "daily", "parent", "child"),
    *("teller", "told", "models", "slow", "chatty"),
)
UNDONE = "select count(*) from runs where state in ('queued', 'running', 'waiting') and pipeline <> 'ticked'"
WAITING = "select run_id, gate from gates where state = 'waiting' order by run_id limit 20"
FAILED = "select id from runs where state = 'failed' and abandoned_at is null order by id limit 20"


@dataclass
class Toll:
    """What happened."""

    died_at: Counter[str] = field(default_factory=Counter)
    at_rest: Counter[str] = field(default_factory=Counter)
    deaths: list[Death] = field(default_factory=list)
    looks_s: list[float] = field(default_factory=list)
    kills: int = 0


@dataclass(frozen=True)
class Asked:
    """So many kills, and no more after so many minutes."""

    kills: int
    seed: int
    minutes: float
    rest: bool = True


class Thousand:
    """The daemons, what they are told, and who kills them."""

    def __init__(self, acting: Acting, asked: Asked, say: Callable[[str], None]) -> None:
        self.toll = Toll()
        self._acting, self._asked, self._say = acting, asked, say
        self._dice = random.Random(asked.seed)
        self._points = self._drawn()
        crashes = [one for one in places() if one.kind == "crash" and not one.why_not]
        self._crashes = crashes if asked.rest else []
        self._mourning = Mourning(LEASE_S, self.toll.deaths, self.toll.looks_s)
        self._turn = asyncio.Lock()
        self._over = asyncio.Event()
        self._numbers = itertools.count(1)

    async def run(self) -> list[str]:
        """Until all kills are done and everything has settled; what is wrong."""
        acting = self._acting
        acting.urls += [""] * DAEMONS
        async with asyncio.TaskGroup() as tasks:
            lives = [tasks.create_task(self._live(number)) for number in range(DAEMONS)]
            lives.append(tasks.create_task(self._mourning.run(acting.dsn)))
            people = [tasks.create_task(self._decide()), tasks.create_task(self._tell_all())]
            ends = time.monotonic() + 60 * self._asked.minutes
            while self.toll.kills < self._asked.kills - len(self.rest()) and time.monotonic() < ends:
                await asyncio.sleep(_LOOK_S)
            self._over.set()
            await asyncio.wait(people)
            left = await self._settled()
            await self._mourning.over()
            for life in lives:
                life.cancel()
        ends = ("succeeded", "cancelled")
        return [*left, *await wrongs(acting.dsn, acting.folder, ends, acting.acknowledged)]

    def rest(self) -> list[Place]:
        """The points where nobody has died yet, and how a daemon is brought there."""
        return [one for one in self._crashes if not self.toll.died_at[one.point]]

    def _drawn(self) -> Iterator[str]:
        """All points that somebody has come by, in another order each time around; none before there are any."""
        while True:
            every = sorted(set(self._acting.points()) & set(points())) or [""]
            self._dice.shuffle(every)
            yield from every

    # Daemons

    async def _live(self, number: int) -> None:
        while True:
            point = next(self._points) if self._dice.random() < 0.6 else ""
            faults = f"*=note:{self._acting.folder / 'points'}"
            if point:
                faults += f",{point}=crash@{self._dice.choice((1, 1, 2, 5))}"
                self._acting.first = number
            one = await self._acting.daemon(faults, place=number, TIDEMILL_EXECUTOR_LEASE_S=f"{LEASE_S:g}")
            await self._until_dead(one, point)

    async def _until_dead(self, one: Living, point: str) -> None:
        if self._over.is_set():
            await one.ended()
            return
        lasts_s = self._dice.uniform(*LIVES_S) * (2 if point else 1)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(lasts_s):
                await one.ended()
        if one.code is None and not self._over.is_set():
            await self._kill(one)
        await one.ended()
        if one.code in (137, -signal.SIGKILL):
            self.toll.kills += 1
            self.toll.died_at[point if one.code == 137 else "anywhere"] += 1
            self._say(f"{self.toll.kills}: {point if one.code == 137 else 'anywhere'}")
            await self._mourning.note(self._acting.dsn, one, self._acting.living)
        else:
            self.toll.died_at[f"ended with {one.code}"] += 1

    async def _kill(self, one: Living) -> None:
        """One after the other, and never one whom nobody could take over from."""
        async with self._turn:
            while one.code is None and await self._heirs(one) < HEIRS:
                await asyncio.sleep(0.1)
            one.signal(signal.SIGKILL)

    async def _heirs(self, to: Living) -> int:
        others = [one for one in self._acting.living if one is not to]
        return await self._mourning.heirs(self._acting.dsn, others)

    # What they are told

    async def _tell_all(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while not self._over.is_set():
                number = next(self._numbers)
                act = ACTS[number % len(ACTS)]
                tasks.create_task(act(self._acting, number))
                await asyncio.sleep(_PAUSE_S)

    async def _decide(self) -> None:
        """The person who approves what waits, and resumes what lost its daemons too often."""
        while not self._over.is_set():
            await self._look()
            await asyncio.sleep(0.3)

    async def _look(self) -> None:
        acting = self._acting
        by = {"by": "kim"}
        for row in await _rows(acting.dsn, WAITING):
            path = f"/api/v1/runs/{row['run_id']}/gates/{row['gate']}/approve"
            await acting.call("POST", path, by, expect=[404, 409])
        for row in await _rows(acting.dsn, FAILED):
            await acting.call("POST", f"/api/v1/runs/{row['id']}/resume", by, expect=[404, 409])

    async def _settled(self) -> list[str]:
        ends = time.monotonic() + SETTLES_S
        left = -1
        while time.monotonic() < ends:
            await self._look()
            [row] = await _rows(self._acting.dsn, UNDONE)
            if (left := row["count"]) == 0 and not await _rows(self._acting.dsn, FAILED):
                return []
            await asyncio.sleep(0.1)
        return [f"{SETTLES_S:.0f} s after the last kill {left} runs have not ended"]


async def _rows(dsn: str, query: str) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(query))
    finally:
        await connection.close()


def _event(kind: str) -> Callable[[Acting, int], Awaitable[None]]:
    async def act(acting: Acting, number: int) -> None:
        await acting.tell(kind, str(number), number)

    return act


async def _drop_file(acting: Acting, number: int) -> None:
    part, whole = (acting.folder / "landing" / name for name in (f".{number}.csv.part", f"{number}.csv"))
    part.write_text(str(number))
    part.rename(whole)


async def _pause(acting: Acting, number: int) -> None:
    await acting.call("POST", "/api/v1/pauses", {"by": "kim", "what": "teller/cloudevents", "reason": "to see"})
    await acting.call("POST", "/api/v1/pauses/lift", {"by": "kim", "what": "teller/cloudevents"}, expect=[409])


async def _backfill(acting: Acting, number: int) -> None:
    day = f"2020-{number % 12 + 1:02}-{number % 28 + 1:02}"
    asked = {"by": "kim", "trigger": "daily/nightly", "from": day, "to": day, "id": str(number)}
    await acting.call("POST", "/api/v1/backfills", asked)


async def _replay(acting: Acting, number: int) -> None:
    told = [one for one in acting.acknowledged if one.startswith("flow ")]
    if told:
        event = told[-1].partition(" ")[2]
        asked = {"by": "kim", "event": event, "pipeline": "flow", "effects": True, "id": str(number)}
        await acting.call("POST", "/api/v1/replays", asked, expect=[409])


async def _cancel(acting: Acting, number: int) -> None:
    rows = await _rows(acting.dsn, "select max(id) as id from runs where pipeline = 'slow' and state = 'running'")
    if rows[0]["id"]:
        await acting.call("POST", f"/api/v1/runs/{rows[0]['id']}/cancel", {"by": "kim"}, expect=[409])


KINDS = ("flow", "slow", "worked", "slow", "parent", "teller", "models", "slow", "decided", "broken", "slow", "chatty")
ACTS = (*(_event(kind) for kind in KINDS), _drop_file, _pause, _backfill, _replay, _cancel)


async def shoot(folder: Path, asked: Asked, say: Callable[[str], None]) -> tuple[Toll, Sequence[str]]:
    """Kills on servers of their own."""
    toll, rest, wrong = await _storm(folder, asked, say)

    def tell(told: Told) -> None:
        toll.kills += 1
        toll.at_rest[told.point] += 1
        say(f"{toll.kills}: {told.point}, by the recipe of the matrix: {'; '.join(told.wrong) or 'right'}")

    outcomes = await run_all(rest, folder, LANES, tell)
    return toll, [*wrong, *(f"{one.point}: {text}" for one in outcomes for text in one.wrong)]


async def _storm(folder: Path, asked: Asked, say: Callable[[str], None]) -> tuple[Toll, Sequence[Place], Sequence[str]]:
    recipe = Recipe("thousand", PIPELINES, _nothing, kafka=True)
    (folder / "mended").touch()
    (folder / "landing").mkdir()
    async with Warm() as warm, ground(folder, ROOM_MIB) as one, one.database() as dsn:
        return await _shoot(Acting(one, warm, recipe, folder, dsn, "thousand"), asked, say)


async def _shoot(
    acting: Acting, asked: Asked, say: Callable[[str], None]
) -> tuple[Toll, Sequence[Place], Sequence[str]]:
    await make_topics(acting)
    whole = Thousand(acting, asked, say)
    try:
        wrong = await whole.run()
    finally:
        for each in acting.living:
            each.signal(signal.SIGKILL)
    return whole.toll, whole.rest(), wrong


async def _nothing(acting: Acting) -> None:
    """What these daemons are told is no recipe's."""


def percentile(numbers: Sequence[float], of_100: int) -> float:
    """Of at least two."""
    return statistics.quantiles(numbers, n=100, method="inclusive")[of_100 - 1]


def _say(text: str) -> None:
    print(text, flush=True)


def _tell_times(deaths: Sequence[Death]) -> bool:
    """Print for how long runs were nobody's; whether that was too long."""
    in_time = True
    for heirs, some in ((True, "two others"), (False, "fewer than two others")):
        told = [one for one in deaths if (one.heirs >= HEIRS) is heirs]
        print(f"{len(told)} of the dead drove runs, {sum(len(one.runs) for one in told)}, while {some} had been there")
        if len(told) > 1:
            _tell_spread("nobody's for", [one.alone_s for one in told])
            _tell_spread("adopted after the lease had lapsed", [one.over_s for one in told])
            _tell_spread("all driven on after", [one.idle_s for one in told])
        if heirs:
            in_time = len(told) > 1 and percentile([one.alone_s for one in told], 99) <= LEASE_S + 1.0
    print(f"a lease is {LEASE_S:g} s: {'in time' if in_time else 'TOO LATE'} (p99 within a lease and a second)")
    return not in_time


def _tell_spread(what: str, numbers: Sequence[float]) -> None:
    p50, p99, most = percentile(numbers, 50), percentile(numbers, 99), max(numbers)
    print(f"  {what}: {p50:.2f} s (median), {p99:.2f} s (p99), {most:.2f} s at most")


def main() -> None:
    """Read the arguments and run; exits with 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin to settle then, whatever is left")
    parser.add_argument("--rest", action=argparse.BooleanOptionalAction, default=True, help="at all points (default)")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = parser.parse_args()
    asked = Asked(given.kills, given.seed, given.minutes, given.rest)
    print(f"seed {given.seed}, {given.kills} kills", flush=True)
    began = time.monotonic()
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="tidemill-thousand-", dir=memory))
    print(f"what they leave behind, and the servers' logs, are in {folder}", flush=True)
    toll, wrong = asyncio.run(shoot(folder, asked, _say))
    at_points = {name: count for name, count in toll.died_at.items() if name in points()}
    took_s, by_recipe = time.monotonic() - began, sum(toll.at_rest.values())
    print(f"{toll.kills} kills in {took_s:.0f} s: {sum(at_points.values())} at {len(at_points)} points, ", end="")
    print(f"{by_recipe} at {len(toll.at_rest)} others by their recipes; there are {len(points())} points")
    elsewhere = [one for one in places() if one.kind == "crash" and one.why_not and not at_points.get(one.point)]
    print(*(f"       {one.point}: {one.why_not}" for one in elsewhere), sep="\n")
    print(*(f"{count:6} {name}" for name, count in sorted(toll.died_at.items())), sep="\n")
    _tell_spread("a look at the database, which asks next to nothing, took", toll.looks_s)
    late = _tell_times(toll.deaths)
    for one in wrong:
        print(f"WRONG: {one}")
    print("verdict: " + (f"{len(wrong)} things are wrong" if wrong else "nothing lost, nothing doubled"))
    if not wrong:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(bool(wrong) or late)


if __name__ == "__main__":
    main()
