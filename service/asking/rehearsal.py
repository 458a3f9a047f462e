"""What a trigger would have done with the events that are on record, one after the other, in a bounded memory. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from service.asking.due import Due, is_tick, late_ticks, still_due
from service.asking.recorded import Record, Told
from service.asking.shapes import BacktestAnswer, ChangedShape, RehearsedRun
from service.cause import cause_of, too_deep
from service.fates import NOBODY
from service.inbox import encode_params
from service.shapes.answers import InboxEvent, OutcomeShape
from service.terms import judged, terms_of
from stages.errors import InvalidParams
from stages.pipeline import Pipeline
from triggers.admission import Admission
from triggers.base import Arrival, Binding, Fate, Offer, Trigger
from triggers.cloudevents import restore
from triggers.event import FIRED_BY, Event
from triggers.manual import MANUAL, Manual, manual_offer
from triggers.match import offer
from triggers.route import FILE, Route, route_of
from triggers.schedule import Schedule, tick_event

MOST_LISTED = 1000
UNHEARD = "unheard"
GONE = "gone"


@dataclass(slots=True)
class _Run:
    """A run that would have been, as it gathers."""

    first: str
    event_id: str
    opened_at: datetime
    events: int = 1


@dataclass(frozen=True, slots=True)
class _Seen:
    """A recorded event, what became of it by this trigger, and what the trigger that is tried would offer."""

    number: int
    key: str
    at: datetime
    event: Event
    told: OutcomeShape | None
    offer: Offer


@dataclass(slots=True)
class Rehearsal:
    """Shows one trigger of a pipeline event after event, in the order in which they were accepted.

    Those of one transaction have the same `accepted_at`: they count as handed over together. `record` says what stays
    as it was; `due`, of schedules, which ticks would be others. `unchanged`: it is the trigger as declared, to which
    nothing comes that it has not heard.
    """

    pipeline: Pipeline
    trigger: Trigger
    name: str
    declared: Mapping[str, Any] | None = None
    since: datetime | None = None
    due: Due | None = None
    unchanged: bool = False
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    changed: list[ChangedShape] = field(default_factory=list)
    changes: int = 0
    runs: list[RehearsedRun] = field(default_factory=list)
    started: int = 0
    seen: int = 0
    record: Record = field(init=False)
    _together: list[_Seen] = field(default_factory=list)
    _open: dict[int, _Run] = field(default_factory=dict)
    _admission: Admission[int] = field(default_factory=Admission)

    def __post_init__(self) -> None:
        self.record = Record(self.pipeline, self.trigger, self.declared, self.since)

    @property
    def binding(self) -> Binding:
        """The trigger as the pipeline would listen with it."""
        return Binding(self.pipeline.name, self.trigger)

    def see(self, one: InboxEvent) -> None:
        """Take the next event."""
        at = one["accepted_at"]
        if self._together and self._together[0].at != at:
            self._judge()
        event = restore(one["cloudevent"])
        told = next((each for each in one["outcomes"] if each["pipeline"] == self.pipeline.name), None)
        mine = told is not None and told["trigger"] == self.name
        if not mine and (self.unchanged or self._deaf(event) or _ran(told)):
            return
        self._together.append(_Seen(one["seq"], one["key"], at, event, told if mine else None, self._offer(event)))

    def _deaf(self, event: Event) -> bool:
        """Whether such an event does not get to it; what was fired went to one trigger alone."""
        elsewhere = self.binding.trigger.deaf_to(_route(event), self.pipeline.name) is not None
        return elsewhere or FIRED_BY in event.extensions

    def _judge(self) -> None:
        """Say what would become of those that were accepted together."""
        together, self._together = self._together, []
        if not together:
            return
        at = together[0].at
        self._new_ticks(at)
        for one, timely in zip(together, self._timely(together, at), strict=True):
            self._count(one, *self._fate(one, timely))

    def _timely(self, together: Sequence[_Seen], at: datetime) -> list[Offer]:
        """What is offered for each, late where the policy that is tried says so of those handed over together."""
        if isinstance(self.trigger, Schedule):
            late = late_ticks(self.binding, [one.event for one in together], at)
            return [
                replace(one.offer, fate=Fate.LATE, reason=why, params=None) if why and self._ticks(one) else one.offer
                for one, why in zip(together, late, strict=True)
            ]
        return [one.offers[0] for one in judged([Arrival(one.event, [one.offer]) for one in together], at)]

    def _ticks(self, one: _Seen) -> bool:
        """Whether age counts: of what a person asked for, by a backfill, it does not."""
        asked = isinstance(one.event.data, Mapping) and "backfill" in one.event.data
        return one.offer.fate is Fate.RAN and is_tick(self.binding, one.event) and not asked

    def _count(self, one: _Seen, fate: str, reason: str) -> None:
        self.seen += 1
        before = one.told["fate"] if one.told is not None else UNHEARD
        self.before[before] += 1
        self.after[str(fate)] += 1
        # Nothing was said of it, and nothing would be done.
        silent = before == UNHEARD and fate == Fate.IGNORED
        if fate != before and not silent:
            self._note(one, before, fate, reason)

    def _note(self, one: _Seen, before: str, fate: str, reason: str) -> None:
        self.changes += 1
        if len(self.changed) < MOST_LISTED:
            self.changed.append(
                {
                    "seq": one.number,
                    "key": one.key,
                    "source": one.event.source,
                    "id": one.event.id,
                    "accepted_at": one.at,
                    "before": before,
                    "before_reason": NOBODY if one.told is None else one.told["reason"],
                    "after": str(fate),
                    "after_reason": reason,
                }
            )

    def _fate(self, one: _Seen, timely: Offer) -> tuple[str, str]:
        """What would become of it now."""
        schedule = self.trigger
        ticks = isinstance(schedule, Schedule) and is_tick(self.binding, one.event)
        if isinstance(schedule, Schedule) and ticks and not still_due(schedule, one.event.time):
            return GONE, "the schedule that is tried is not due then"
        settled = self.record.settled(one.told, one.event, one.offer)
        if settled is not None:
            return settled
        made = one.offer if self.record.judged(one.told) else timely
        if made.fate is not Fate.RAN:
            return made.fate, made.reason
        return self._started(one, made)

    def _started(self, one: _Seen, made: Offer) -> Told:
        try:
            params = encode_params(self.pipeline.parse_params(made.params))
        except InvalidParams as error:
            return Fate.DEAD, str(error)
        cause = cause_of(one.event)
        if cause is not None and (reason := too_deep(cause)):
            return Fate.DEAD, reason
        return self.record.begun_before(one.told, one.at) or self._admitted(one, made, params)

    def _new_ticks(self, until: datetime | None) -> None:
        """Let the ticks come that only the schedule that is tried has, each when it is due."""
        if self.due is None:
            return
        for due_at, at in self.due.by(self.binding, until):
            event = tick_event(self.binding, due_at)
            made = offer(self.binding, event)
            # Numbers of their own, below those of all that is recorded.
            tick = _Seen(-1 - self.after.total(), str(event.key), at, event, None, made)
            fate, _ = self._started(tick, made) if made.fate is Fate.RAN else (made.fate, made.reason)
            self.after[str(fate)] += 1

    def _offer(self, event: Event) -> Offer:
        if isinstance(self.trigger, Manual) and event.type == MANUAL:
            return manual_offer(self.binding, event)
        return offer(self.binding, event)

    def _admitted(self, one: _Seen, made: Offer, params: bytes) -> Told:
        """Whether it opens a run, joins one, or is one too many."""
        at, number = one.at, one.number
        self._finish(at)
        terms = terms_of(made.handling, one.event, params)
        if terms is None:
            self._opened(one)
            self._close(number, at)
            return Fate.RAN, ""
        admitted = self._admission.take(made.trigger, terms, number, at)
        if terms.rate_limit is not None:
            self._forget_starts(terms.rate_limit.runs)
        if admitted.run is None:
            return Fate.RATE_LIMITED, admitted.reason
        if admitted.opens:
            self._opened(one)
        else:
            self._open[admitted.run].events += 1
        told = (Fate.RAN, "") if admitted.opens else (Fate.COALESCED, f"with {self._open[admitted.run].event_id}")
        if terms.coalesce is None or self._admission.runs[admitted.run].full:
            self._close(admitted.run, at)
        return told

    def _opened(self, one: _Seen) -> None:
        self.started += 1
        self._open[one.number] = _Run(one.key, one.event.id, one.at)

    def _finish(self, at: datetime) -> None:
        """Let the runs start that are due by now."""
        for run in self._admission.start_due(at):
            self._close(run, self._admission.runs[run].due_at)

    def _close(self, run: int, due_at: datetime) -> None:
        gathering = self._admission.runs.pop(run, None)
        held = self._open.pop(run)
        if len(self.runs) < MOST_LISTED:
            starts_at = due_at if gathering is None else gathering.due_at
            self.runs.append({"first_event": held.first, "events": held.events, "starts_at": starts_at})

    def _forget_starts(self, kept: int) -> None:
        """Of what began, only as many as the rate asks about."""
        for place, began in self._admission.began.items():
            self._admission.began[place] = began[-kept:]

    def end(self, since: datetime, until: datetime) -> BacktestAnswer:
        """The whole answer, after the last event."""
        self._judge()
        self._new_ticks(None)
        for run in list(self._open):
            self._close(run, until)
        return {
            "trigger": self.binding.name,
            "since": since,
            "until": until,
            "events": self.seen,
            "before": dict(self.before),
            "after": dict(self.after),
            "runs_before": self.before[Fate.RAN.value],
            "runs_after": self.started,
            "changes": self.changes,
            "changed": self.changed,
            "runs": self.runs,
            "ticks": None if self.due is None else self.due.shape(),
            "read_until": None,
        }


def _ran(told: OutcomeShape | None) -> bool:
    """Whether another trigger of the pipeline made something of it: then this one makes no difference."""
    return told is not None and told["run"] is not None


def _route(event: Event) -> Route:
    """By which way it came. The root of files is told by what their events say of their paths."""
    route = route_of(event)
    if route.kind != FILE or not isinstance(event.data, Mapping):
        return route
    relative = str(event.data.get("relative_path", ""))
    return Route(FILE, route.target, route.target.removesuffix(relative).rstrip("/") or "/")
