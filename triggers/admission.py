"""Which events open a run, join one, or are too many. Pure: the inbox and the simulation of it ask the same.

Events are given one after the other, in the order in which they are accepted, each with the time it is accepted at.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from triggers.coalesce import Coalesce, Gathering
from triggers.rate import RateLimit

Run = TypeVar("Run", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the settings of its trigger say about one event: events of one `gather_key` share runs."""

    coalesce: Coalesce | None = None
    gather_key: str = ""
    rate_limit: RateLimit | None = None
    rate_key: str = ""


@dataclass(frozen=True, slots=True)
class Admitted(Generic[Run]):
    """What becomes of an event: it opens or joins `run`, or (no run) is refused for `reason`."""

    run: Run | None
    opens: bool = False
    reason: str = ""


@dataclass(slots=True)
class Admission(Generic[Run]):
    """Runs that gather, by trigger (or whatever `scope` tells apart) and key, and when runs of a limited rate began."""

    gathering: dict[tuple[Hashable, str], tuple[Run, Gathering]] = field(default_factory=dict)
    began: dict[tuple[Hashable, str], list[datetime]] = field(default_factory=dict)
    runs: dict[Run, Gathering] = field(default_factory=dict)

    def take(self, scope: Hashable, terms: Terms, run: Run, now: datetime) -> Admitted[Run]:
        """Decide for one event, which opens `run` if it opens one. `runs` then holds every run that changed."""
        place = (scope, terms.gather_key)
        if terms.coalesce is not None and place in self.gathering:
            joined, gathering = self.gathering[place]
            self._keep(place, joined, terms.coalesce.joins(gathering, now))
            return Admitted(joined)
        if terms.rate_limit is not None:
            began = self.began.setdefault((scope, terms.rate_key), [])
            if reason := terms.rate_limit.why_not(began, now, terms.rate_key):
                return Admitted(None, reason=reason)
            began.append(now)
        if terms.coalesce is not None:
            self._keep(place, run, terms.coalesce.opens(now))
        return Admitted(run, opens=True)

    def start_due(self, now: datetime) -> list[Run]:
        """The runs that are due, in the order in which they are: they have started, and take no more."""
        due = sorted(
            ((gathering.due_at, place) for place, (_, gathering) in self.gathering.items() if gathering.due_at <= now),
            key=lambda one: one[0],
        )
        return [self.gathering.pop(place)[0] for _, place in due]

    def _keep(self, place: tuple[Hashable, str], run: Run, gathering: Gathering) -> None:
        self.runs[run] = gathering
        if gathering.full:
            self.gathering.pop(place, None)
        else:
            self.gathering[place] = (run, gathering)


@dataclass(frozen=True, slots=True)
class Happened:
    """An event as a rehearsal needs it: when it is accepted, by which trigger, on which terms."""

    at: datetime
    scope: Hashable
    terms: Terms


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """A run as it would have been: which events it has, by their number, and when it was due."""

    events: Sequence[int]
    due_at: datetime


def rehearse(happened: Sequence[Happened]) -> tuple[Sequence[Rehearsed], Mapping[int, str]]:
    """The runs that these events, in the order of their times, would have led to, and why the others led to none.

    Every run starts the moment it is due, as it does where there is a free place.
    """
    admission: Admission[int] = Admission()
    members: dict[int, list[int]] = {}
    refused: dict[int, str] = {}
    for number, one in enumerate(happened):
        admission.start_due(one.at)
        admitted = admission.take(one.scope, one.terms, number, one.at)
        if admitted.run is None:
            refused[number] = admitted.reason
        else:
            members.setdefault(admitted.run, []).append(number)
    due = {run: admission.runs[run].due_at if run in admission.runs else happened[run].at for run in members}
    return [Rehearsed(members[run], due[run]) for run in members], refused
