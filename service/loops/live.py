"""A run while this process drives it, and how it is rebuilt from its rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any
from uuid import UUID

import orjson

from service.db.envelopes import whole_event
from service.db.results import metrics_of, output_of, stored_key
from service.db.rows import Row
from service.errors import ServiceError
from service.model import DONE, AttemptState, Checked, GateState, RunState, RunView, Tried, unit_of
from stages.artifacts import ArtifactRef
from stages.call import WHOLE
from stages.pipeline import Pipeline
from stages.plan import Plan, PlanStage, StageKey, stage_key
from triggers.event import Event, events_key
from triggers.replay import is_replay, is_shadow, replayed

# With which the sources of our own events begin.
OWN = "tidemill:"


class Scope:
    """A timeout that is found among `scopes` while its block lasts. A class, for it is entered for every attempt."""

    __slots__ = ("_scopes", "_timeout")

    def __init__(self, scopes: set[asyncio.Timeout], when: float | None = None) -> None:
        self._scopes = scopes
        self._timeout = asyncio.Timeout(when)

    async def __aenter__(self) -> None:
        self._scopes.add(self._timeout)
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scopes.discard(self._timeout)
        await self._timeout.__aexit__(kind, error, traceback)


@dataclass(eq=False, slots=True)
class LiveRun:
    """One run in the hands of this process. `scopes` are the attempts and checks under way, so that they can be cut
    short; `clean_ups` those that only somebody who insists cuts short.

    `branches` counts the tasks that drive it. `leaving`: the write that lets go of it is on its way; `closed`: and says
    that it is over. `depth` is how many runs, one caused by the other, lie behind it. `events` are all that share it,
    if there are several; `event_key` stays that of the first. In `shadow` it changes nothing outside; `replays`: it is
    of a replay, which `shadow` is too; `reuses`: it may take results of other runs. The `event` of a replay is the one
    it is of, the `event_key` its own.
    """

    id: int
    epoch: int
    pipeline: Pipeline
    event: Event
    params: Mapping[str, Any]
    view: RunView
    depth: int = 0
    scopes: set[asyncio.Timeout] = field(default_factory=set)
    clean_ups: set[asyncio.Timeout] = field(default_factory=set)
    branches: int = 0
    leaving: bool = False
    closed: bool = False
    digest: str | None = None
    event_key: UUID = field(init=False)
    events: tuple[Event, ...] = ()
    events_key: UUID = field(init=False)
    identity: str = field(init=False)
    plan: Plan = field(init=False)
    shadow: bool = field(init=False, default=False)
    replays: bool = field(init=False, default=False)
    reuses: bool = field(init=False, default=True)
    expiry: asyncio.TimerHandle | None = None

    def __post_init__(self) -> None:
        self.plan = self.pipeline.plan
        self.event_key = self.events_key = self.event.key
        self.identity = f"{self.event_key}-{self.pipeline.name}"
        if self.event.source.startswith(OWN):
            self._take_replay()

    def _take_replay(self) -> None:
        """Stages get the event that a replay is of."""
        self.shadow, self.replays = is_shadow(self.event), is_replay(self.event)
        replay = replayed(self.event)
        if replay is not None:
            self.events, self.reuses = tuple(replay.events), replay.reuse
            self.event = self.events[-1] if self.events else replay.original

    def share(self, joined: Sequence[Event]) -> None:
        """These joined the event it was started for: stages get all of them, and the newest for the one."""
        self.events = (self.event, *joined)
        self.events_key = events_key([one.key for one in self.events])
        self.event = self.events[-1]

    @property
    def params_digest(self) -> str:
        """What stage keys hold of the parameters. Raises `InvalidParams` when the code no longer takes them."""
        if self.digest is None:
            self.digest = self.pipeline.digest_params(self.pipeline.parse_params(self.params))
        return self.digest

    def inputs_of(self, stage: PlanStage, item: int = WHOLE) -> dict[str, ArtifactRef]:
        """Everything a stage takes of other stages, as far as it is there: for an item, that of the mapped one."""
        found: dict[str, ArtifactRef] = {}
        for parameter, source in stage.inputs.items():
            if item != WHOLE and parameter == stage.stage.map:
                found[parameter] = self.view.items[stage.name].inputs[item]
            elif source in self.view.done and (made := self.view.tried[source].output) is not None:
                found[parameter] = made
        return found

    def key_of(self, stage: PlanStage, item: int = WHOLE) -> StageKey:
        """The identity of the result that a stage would have now."""
        return self.key_from(stage, self.inputs_of(stage, item))

    def key_from(self, stage: PlanStage, given: Mapping[str, ArtifactRef]) -> StageKey:
        """The identity of the result that a stage would have of these inputs."""
        inputs = {parameter: ref.identity for parameter, ref in given.items()}
        params_digest = self.params_digest if stage.takes_params else ""
        return stage_key(stage, inputs=inputs, params_digest=params_digest, event_key=self.events_key)

    def idempotency_key(self, unit: str) -> str:
        """What a unit of this run hands to whatever it changes outside: the same over all attempts."""
        return f"{self.identity}-{unit}"

    def cuttable(self, *, clean_up: bool = False) -> Scope:
        """Let the block be cut short by a TimeoutError when the run is to end."""
        if clean_up:
            return Scope(self.clean_ups)
        at_once = self.view.cancel or self.view.expired
        return Scope(self.scopes, asyncio.get_running_loop().time() if at_once else None)

    def insist(self) -> None:
        """Somebody cancelled again: do not wait for the clean-up."""
        _cut(self.clean_ups)

    def cancel(self) -> None:
        """Cut short what is under way; the machine closes the run."""
        self.view.cancel = True
        _cut(self.scopes)

    def expire(self) -> None:
        """The run's own time is over: the same."""
        self.view.expired = True
        _cut(self.scopes)

    def watch(self, now: datetime) -> None:
        """See to it that the run ends when its time is over."""
        if self.view.deadline is not None:
            left_s = max((self.view.deadline - now).total_seconds(), 0.0)
            self.expiry = asyncio.get_running_loop().call_later(left_s, self.expire)

    def unwatch(self) -> None:
        """It is in other hands now, or over."""
        if self.expiry is not None:
            self.expiry.cancel()


def _cut(scopes: Iterable[asyncio.Timeout]) -> None:
    for scope in scopes:
        if not scope.expired():
            scope.reschedule(asyncio.get_running_loop().time())


def output(run: LiveRun, stage: str) -> ArtifactRef:
    """The artifact a finished stage made."""
    made = run.view.tried[stage].output
    if made is None:
        raise ServiceError(f"run {run.id}: stage {stage} has made nothing")
    return made


def live_run(row: Row, pipeline: Pipeline, now: datetime) -> LiveRun:
    """A claimed run, as far as its own row tells."""
    view = RunView(adoptions=row["adoptions"], cancel=row["cancel"])
    if pipeline.policy.timeout_s is not None:
        view.deadline = now + timedelta(seconds=pipeline.policy.timeout_s - row["timed_s"])
    event = whole_event(row["envelope"])
    return LiveRun(row["id"], row["epoch"], pipeline, event, orjson.loads(row["params"]), view, row["depth"])


def recall(run: LiveRun, attempts: Iterable[Row], gates: Iterable[Any], resume_epoch: int, now: datetime) -> None:
    """Bring back what earlier owners did. What was tried before a person resumed the run does not count against it.

    Raises nothing for attempts another process of this daemon's name left running: the claim called them lost.
    """
    view = run.view
    adoptions = view.adoptions
    hooks = {hook.name for hook in run.plan.hooks.values()}
    for row in attempts:
        unit, tried = unit_of(row["stage"], row["item"]), _tried(row, now)
        if row["version"] != run.pipeline.version:
            view.older.add(unit)
        else:
            view.older.discard(unit)
        if row["void"] is not None:
            _set_aside(view, unit, tried, row["void"])
        elif row["epoch"] > resume_epoch:
            view.began_at.setdefault(unit, now - timedelta(seconds=row["started_ago_s"]))
            view.record(row["stage"], tried, row["item"])
        elif row["stage"] in hooks:
            view.put(unit, Tried(tried.attempt, AttemptState.CANCELLED))
        else:
            view.put(unit, replace(tried, retry_at=None))
    view.adoptions = adoptions
    recall_gates(view, gates, now)


def recall_gates(view: RunView, gates: Iterable[Any], now: datetime) -> None:
    """Take in what the gates' rows say, but for those being checked at this moment."""
    for row in gates:
        if row["gate"] not in view.checking:
            until = due_in(row["expires_in_s"], now)
            state, person = GateState(row["state"]), row["rejected_by"]
            view.gates[row["gate"]] = Checked(state, row["subject"], row["reason"], until, person)


def recall_children(view: RunView, attempts: Iterable[Row]) -> None:
    """Take in how far the sub-runs are that attempts wait for."""
    for row in attempts:
        unit = unit_of(row["stage"], row["item"])
        waiting = view.tried.get(unit)
        if waiting is not None and waiting.state is AttemptState.WAITING and waiting.attempt == row["attempt"]:
            view.put(unit, replace(waiting, child_run=row["child_run"], child=_child(row)))


def _set_aside(view: RunView, unit: str, tried: Tried, void: str) -> None:
    """A result that counts no longer: it may be found to hold all the same, unless somebody wanted it made anew."""
    view.put(unit, Tried(tried.attempt, AttemptState.CANCELLED))
    view.voided[unit] = view.voided.get(unit, 0) + 1
    if void == "forced":
        view.anew.add(unit)
    elif tried.state in DONE and tried.output is not None:
        view.stale[unit] = tried


def due_in(seconds: float | None, now: datetime) -> datetime | None:
    """The instant so many seconds from now; None for no time at all."""
    return None if seconds is None else now + timedelta(seconds=seconds)


def _tried(row: Row, now: datetime) -> Tried:
    return Tried(
        attempt=row["attempt"],
        state=AttemptState(row["state"]),
        transient=bool(row["transient"]),
        output=output_of(row) if row["output_digest"] else None,
        metrics=metrics_of(row),
        finished_at=row["finished_at"],
        retry_at=due_in(row["retry_in_s"], now),
        child_run=row["child_run"],
        child=_child(row),
        key=None if row["key"] is None else stored_key(row["key"]),
    )


def _child(row: Row) -> RunState | None:
    return None if row["child_state"] is None else RunState(row["child_state"])
