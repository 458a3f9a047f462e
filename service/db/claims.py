"""Claiming runs. Those of pipelines with limits are weighed against each other, by one process at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from service.choice import Candidate, Choice, Group, Standing, choose, key_lane, rate_lane
from service.db.connect import columns, sql
from service.db.entries import held
from service.db.rows import Row
from service.db.writer import Flush, Operation
from service.machine import AHEAD_S
from stages.limits import Rate
from stages.policy import RunPolicy

# Who weighs limits holds this lock, over all processes, from the first look to the commit. Nobody waits for it: a
# process that is stopped while it holds it must not stop the writes of others.
LOCK = int.from_bytes(b"tidelimi", "big")
LOCKED_RETRY_S = 0.01
# How far past runs whose key is busy a claim looks at once. Those it passes are in a lane afterwards.
LOOK_PAST = 200


@dataclass(eq=False, slots=True)
class Claim(Operation):
    """Take up to `limit` runs that are ready: as many as `places` holds when this is first about to be written.
    `claimed` is called with it and the answer once they are this process's.

    `limits` are the policies of those pipelines that have any. The answer is the rows, and in how many seconds it is
    worth looking again (None: not before somebody says so), from `looked_at` on by `time.monotonic`. Zero: more could
    have started. With `kept` only runs are taken that are for the kept code of their version.
    """

    order: ClassVar[int] = 60

    versions: Mapping[str, str]
    places: Callable[[], int]
    claimed: Callable[[int, Sequence[Row], float | None], None]
    limits: Mapping[str, RunPolicy] = field(default_factory=dict)
    kept: bool = False
    looked_at: float | None = None
    limit: int = 0
    placed: bool = False

    def take_places(self) -> None:
        """Hold places, once, however often this is written."""
        if not self.placed:
            self.limit, self.placed = self.places(), True

    def committed(self, answer: Any) -> None:
        """Drive what was claimed."""
        self.claimed(self.limit, *answer)

    def refused(self) -> None:
        """Nothing was claimed."""
        self.claimed(self.limit, (), None)

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[Claim]) -> Sequence[tuple[Sequence[Row], float | None]]:
        """There is one claim at a time in a process; a second one in the flush gets what the first left."""
        for operation in operations:
            operation.take_places()
            operation.looked_at = time.monotonic()
        answers = [await _claim(flush, operation) for operation in operations]
        flush.queued -= {row["id"] for rows, _ in answers for row in rows}
        flush.log.extend(_taken(row) for rows, _ in answers for row in rows)
        return answers


async def _claim(flush: Flush, op: Claim) -> tuple[Sequence[Row], float | None]:
    """Without limits it is one statement, and one that looks at what is left."""
    if op.limit <= 0:
        return (), None
    if op.kept:
        rows = await _take_kept(flush, op)
        return rows, 0.0 if len(rows) == op.limit else None
    names, limited = list(op.versions), list(op.limits)
    rows = await _take_free(flush, op, limited)
    look = await flush.connection.fetchrow(sql("next_ready"), names, limited, AHEAD_S)
    if len(rows) == op.limit and look["limited"]:
        return rows, 0.0
    if not look["limited"]:
        return rows, 0.0 if look["ready"] else look["next_s"]
    if not await flush.connection.fetchval("select pg_try_advisory_xact_lock($1)", LOCK):
        return rows or await _take_free(flush, op, []), LOCKED_RETRY_S
    weighing = _Weighing(flush, op, op.limit - len(rows))
    more = await weighing.take()
    return [*rows, *more], _soonest(look["next_s"], weighing.again_in_s(more))


async def _take_free(flush: Flush, op: Claim, limited: Sequence[str]) -> list[Row]:
    """Take runs of pipelines without limits, where none of those of `limited` has something to start."""
    versions = {name: one for name, one in op.versions.items() if name in limited or name not in op.limits}
    arguments = (flush.daemon, list(versions), list(versions.values()), op.limit, limited, AHEAD_S)
    rows: list[Row] = await flush.connection.fetch(sql("claim"), *arguments)
    return rows


async def _take_kept(flush: Flush, op: Claim) -> list[Row]:
    """Take runs that are for the kept code of these versions."""
    found: list[Row] = []
    for name, version in op.versions.items():
        arguments = (flush.daemon, name, version, op.limit - len(found))
        found += await flush.connection.fetch(sql("claim_kept"), *arguments)
    return found


def _taken(row: Row) -> dict[str, Any]:
    entry = {"run": row["id"], "pipeline": row["pipeline"], "move": "running", "epoch": row["epoch"]}
    if row["old_version"] != row["version"]:
        entry["moved_from"], entry["moved_to"] = row["old_version"], row["version"]
    return entry | held(row["key"], row["pool"])


def _soonest(*times_s: float | None) -> float | None:
    return min((one for one in times_s if one is not None), default=None)


class _Weighing:
    """One claim that weighs limits, under their lock: looks at what is taken, chooses, takes, and puts what has to wait
    into lanes.
    """

    def __init__(self, flush: Flush, op: Claim, places: int) -> None:
        self._connection = flush.connection
        self._daemon = flush.daemon
        self._versions = op.versions
        self._policies = op.limits
        self._places = places
        self._standing = Standing()
        self._lanes: list[Group] = []
        self._wanted: dict[Group, int] = {}
        self._drawn: list[Candidate] = []
        self._choice = Choice()

    async def take(self) -> Sequence[Row]:
        """The rows of the runs that are this process's now."""
        at = await self._look()
        self._wanted = self._wants()
        self._drawn = await self._candidates(at)
        self._standing.starts = await self._starts(at)
        self._choice = choose(self._drawn, self._policies, self._standing, self._places)
        rows = await self._take(at) if self._choice.picked else []
        await self._hold(at)
        return rows

    def again_in_s(self, taken: Sequence[Row]) -> float | None:
        """When it is worth looking again: at once where there was more to look at than was looked at."""
        choice = self._choice
        openings = [one for one in choice.opens_in_s.values() if one is not None]
        left = len(taken) < len(choice.picked)
        if left or (len(choice.picked) < self._places and any(map(self._may_have_more, self._wanted))):
            return 0.0
        return _soonest(choice.next_s, *openings)

    async def _look(self) -> datetime:
        """Take in what is taken, and which lanes are open; the answer is the database's time."""
        at: datetime | None = None
        capacity: dict[str, int] = {}
        standing = self._standing
        arguments = (self._daemon, list(self._versions), self._places)
        for what, pipeline, name, pool, number, told_at in await self._connection.fetch(sql("standing"), *arguments):
            if what == "at":
                at = told_at
            elif what == "running":
                standing.running[pipeline] += number
                standing.of_key[pipeline, name] += number
                standing.taken[pool] += number
            elif what == "here":
                standing.here[pipeline] = number
            elif what == "pool":
                capacity[pool] = number
            else:
                self._lanes.append((pipeline, name))
        standing.capacity = capacity
        assert at is not None
        return at

    def _wants(self) -> dict[Group, int]:
        """How many runs to look at, by pipeline and lane; a pipeline or key without room is not looked at."""
        wanted: dict[Group, int] = {}
        for pipeline in self._versions:
            policy = self._policies.get(pipeline)
            room = self._standing.room(pipeline, policy, self._places)
            if room:
                wanted[pipeline, ""] = room + (LOOK_PAST if _has_lanes(policy) else 0)
        for pipeline, lane in self._lanes:
            room = min(wanted.get((pipeline, ""), 0), self._places)
            if lane.startswith(key_lane("")):
                key = lane.removeprefix(key_lane(""))
                room = self._standing.room_of_key(pipeline, key, self._policies.get(pipeline), room)
            if room:
                wanted[pipeline, lane] = room
        return wanted

    async def _candidates(self, at: datetime) -> list[Candidate]:
        if not self._wanted:
            return []
        wanted = [(*group, count) for group, count in self._wanted.items()]
        rows = await self._connection.fetch(sql("candidates"), *columns(wanted, 3), at)
        return [Candidate(**row) for row in rows]

    async def _starts(self, at: datetime) -> dict[Group, list[float]]:
        """The latest starts of what is to start by a rate."""
        rates: dict[Group, Rate] = {}
        for one in self._drawn:
            policy = self._policies.get(one.pipeline)
            if policy is not None and policy.rate is not None and one.rate_key is not None and not one.begun:
                rates[one.pipeline, one.rate_key] = policy.rate
        if not rates:
            return {}
        asked = columns([(*group, float(rate.per_s), rate.runs) for group, rate in rates.items()], 4)
        rows = await self._connection.fetch(sql("starts"), *asked, at)
        return {(pipeline, rate_key): ago_s for pipeline, rate_key, ago_s in rows}

    async def _take(self, at: datetime) -> Sequence[Row]:
        pipelines = {one.id: one.pipeline for one in self._drawn}
        chosen = [(run_id, *self._terms(pipelines[run_id])) for run_id in self._choice.picked]
        rows: list[Row] = await self._connection.fetch(sql("take"), self._daemon, *columns(chosen, 4), at)
        return rows

    def _terms(self, pipeline: str) -> tuple[str, bool, str | None]:
        """The version a run of the pipeline goes on with, whether it is limited, and its pool."""
        policy = self._policies.get(pipeline)
        return self._versions[pipeline], policy is not None, None if policy is None else policy.pool

    async def _hold(self, at: datetime) -> None:
        choice = self._choice
        if choice.held or any(one is not None for one in choice.opens_in_s.values()):
            waiting = columns(sorted(choice.held.items()), 2)
            lanes = columns([(*group, opens_in_s) for group, opens_in_s in choice.opens_in_s.items()], 3)
            await self._connection.execute(sql("hold"), *waiting, *lanes, at)
        looked_into = [group for group in self._wanted if group[1]]
        if looked_into:
            await self._connection.execute(sql("close_lanes"), *columns(looked_into, 2))

    def _may_have_more(self, group: Group) -> bool:
        """Whether all that was looked at is settled, and what comes after it might start."""
        pipeline, lane = group
        policy = self._policies.get(pipeline)
        drawn = sum((one.pipeline, one.lane) == group for one in self._drawn)
        if drawn < self._wanted[group] or self._standing.room(pipeline, policy, 1) == 0:
            return False
        if lane.startswith(key_lane("")):
            return self._standing.room_of_key(pipeline, lane.removeprefix(key_lane("")), policy, 1) > 0
        rate = None if policy is None else policy.rate
        rate_key = lane.removeprefix(rate_lane(""))
        return rate is None or self._standing.opens_in_s((pipeline, rate_key), rate) == 0


def _has_lanes(policy: RunPolicy | None) -> bool:
    """Whether some of the pipeline's runs may have to wait while others of it may start."""
    return policy is not None and (
        policy.concurrency is not None or (policy.rate is not None and bool(policy.rate.key))
    )
