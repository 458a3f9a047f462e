"""What a trigger would have done with the events that are on record, one after the other, in a bounded memory. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

from service.asking.shapes import BacktestAnswer, ChangedShape, RehearsedRun, TicksShape
from service.fates import NOBODY
from service.inbox import encode_params
from service.shapes import InboxEvent, OutcomeShape
from service.terms import judged, terms_of
from stages.errors import InvalidParams
from stages.pipeline import Pipeline
from triggers.admission import Admission
from triggers.base import Arrival, Binding, Fate, Offer
from triggers.cloudevents import restore
from triggers.event import FIRED_BY, Event
from triggers.manual import MANUAL, Manual, manual_offer
from triggers.match import offer
from triggers.route import FILE, Route, route_of
from triggers.schedule import Schedule, due_times, rfc3339

MOST_LISTED = 1000
MOST_TICKS = 100_000
UNHEARD = "unheard"


@dataclass(slots=True)
class _Run:
    """A run that would have been, as it gathers."""

    first: str
    opened_at: datetime
    events: int = 1


@dataclass(slots=True)
class Rehearsal:
    """Shows one trigger of a pipeline event after event, in the order in which they were accepted."""

    pipeline: Pipeline
    trigger: Schedule | object
    name: str
    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    changed: list[ChangedShape] = field(default_factory=list)
    changes: int = 0
    runs: list[RehearsedRun] = field(default_factory=list)
    started: int = 0
    seen: int = 0
    _open: dict[int, _Run] = field(default_factory=dict)
    _admission: Admission[int] = field(default_factory=Admission)

    @property
    def binding(self) -> Binding:
        """The trigger as the pipeline would listen with it."""
        return Binding(self.pipeline.name, self.trigger)

    def see(self, one: InboxEvent) -> None:
        """Take the next event."""
        event = restore(one["cloudevent"])
        told = next((each for each in one["outcomes"] if each["pipeline"] == self.pipeline.name), None)
        mine = told is not None and told["trigger"] == self.name
        if not mine and (self._deaf(event) or _ran(told)):
            return
        self.seen += 1
        fate, reason = self._fate(event, one, told if mine else None)
        before = told["fate"] if told is not None and mine else UNHEARD
        self.before[before] += 1
        self.after[fate.value] += 1
        if fate.value != before:
            self._note(one, event, before, told["reason"] if told is not None and mine else NOBODY, fate, reason)

    def _deaf(self, event: Event) -> bool:
        """Whether such an event does not get to it; what was fired went to one trigger alone."""
        elsewhere = self.binding.trigger.deaf_to(_route(event), self.pipeline.name) is not None
        return elsewhere or FIRED_BY in event.extensions

    def _note(self, one: InboxEvent, event: Event, before: str, was: str, fate: Fate, reason: str) -> None:
        self.changes += 1
        if len(self.changed) < MOST_LISTED:
            self.changed.append(
                {
                    "seq": one["seq"],
                    "key": one["key"],
                    "source": event.source,
                    "id": event.id,
                    "accepted_at": one["accepted_at"],
                    "before": before,
                    "before_reason": was,
                    "after": fate.value,
                    "after_reason": reason,
                }
            )

    def _fate(self, event: Event, one: InboxEvent, told: OutcomeShape | None) -> tuple[Fate, str]:
        """What would become of it now."""
        if told is not None and told["fate"] == Fate.DEAD and isinstance(event.data, bytes):
            return Fate.DEAD, told["reason"]
        at = one["accepted_at"]
        [made] = judged([Arrival(event, [self._offer(event)])], at)[0].offers
        if made.fate is not Fate.RAN:
            return made.fate, made.reason
        try:
            params = encode_params(self.pipeline.parse_params(made.params))
        except InvalidParams as error:
            return Fate.DEAD, str(error)
        return self._admitted(one, at, made, event, params)

    def _offer(self, event: Event) -> Offer:
        if isinstance(self.trigger, Manual) and event.type == MANUAL:
            return manual_offer(self.binding, event)
        return offer(self.binding, event)

    def _admitted(self, one: InboxEvent, at: datetime, made: Offer, event: Event, params: bytes) -> tuple[Fate, str]:
        """Whether it opens a run, joins one, or is one too many."""
        self._finish(at)
        number = one["seq"]
        terms = terms_of(made.handling, event, params)
        if terms is None:
            self._opened(number, one, at)
            self._close(number, at)
            return Fate.RAN, ""
        admitted = self._admission.take(made.trigger, terms, number, at)
        if terms.rate_limit is not None:
            self._forget_starts(terms.rate_limit.runs)
        if admitted.run is None:
            return Fate.RATE_LIMITED, admitted.reason
        if admitted.opens:
            self._opened(number, one, at)
        else:
            self._open[admitted.run].events += 1
        if terms.coalesce is None or self._admission.runs[admitted.run].full:
            self._close(admitted.run, at)
        return (Fate.RAN, "") if admitted.opens else (Fate.COALESCED, f"with {self._first(admitted.run)}")

    def _first(self, run: int) -> str:
        return self._open[run].first if run in self._open else "others"

    def _opened(self, number: int, one: InboxEvent, at: datetime) -> None:
        self.started += 1
        self._open[number] = _Run(one["key"], at)

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
            "ticks": None,
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


def ticks(before: Iterator[datetime], after: Iterator[datetime]) -> TicksShape:
    """The ticks of two schedules in one time, side by side. Raises nothing: of too many, the first are compared."""
    was, now = set(islice(before, MOST_TICKS)), set(islice(after, MOST_TICKS))
    return {
        "before": len(was),
        "after": len(now),
        "gone": [rfc3339(one) for one in sorted(was - now)[:MOST_LISTED]],
        "new": [rfc3339(one) for one in sorted(now - was)[:MOST_LISTED]],
    }


def ticks_of(trigger: Schedule, since: datetime, until: datetime) -> Iterator[datetime]:
    """Every instant at which it is due in that time."""
    return due_times(trigger, since, until)
