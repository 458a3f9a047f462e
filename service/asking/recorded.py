"""What the record says of an event that is rehearsed: what nobody else can know, or what did not change. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from service.crowding import DROPPED
from service.definition import describe_trigger
from service.shapes.answers import OutcomeShape
from stages.pipeline import Pipeline
from triggers.base import Fate, Offer, Trigger
from triggers.event import Event

MISSED = ("missed", "max_age_s", "max_burst")

Told = tuple[Fate, str]


@dataclass(slots=True)
class Record:
    """What stays of the recorded fates when `trigger` is tried in the place of one that is described as `declared`.

    `declared` is as in `service.definition.describe_trigger`; None: nothing is known of it. `since` is where the
    rehearsal begins: of what was before, only the record tells.
    """

    pipeline: Pipeline
    trigger: Trigger
    declared: Mapping[str, Any] | None
    since: datetime | None = None
    _first_run: int | None = None

    def same(self, *settings: str) -> bool:
        """Whether these settings are as declared; all of them, if none is named."""
        if self.declared is None:
            return False
        tried = json.loads(json.dumps(describe_trigger(self.trigger), default=str))
        declared = json.loads(json.dumps(dict(self.declared), default=str))
        return all(tried.get(name) == declared.get(name) for name in settings or tried)

    def judged(self, told: OutcomeShape | None) -> bool:
        """Whether it was judged by the same policy then, so that it is known to be late or not."""
        return told is not None and _was_offered(told) and self.same(*MISSED)

    def settled(self, told: OutcomeShape | None, event: Event, made: Offer) -> Told | None:
        """The fate that it keeps whatever is tried, where there is one."""
        if told is None:
            return None
        fate, reason = Fate(told["fate"]), told["reason"]
        if fate is Fate.DEAD and isinstance(event.data, bytes):
            return fate, reason
        if made.fate is not Fate.RAN:
            return None
        dropped = _was_dropped(told) and self._drops()
        if fate is Fate.PAUSED or dropped or (fate is Fate.LATE and self.same(*MISSED)):
            return fate, reason
        return None

    def _drops(self) -> bool:
        """Whether the pipeline starts no run beside an unfinished one: how long runs would take, nobody knows."""
        limit = self.pipeline.policy.concurrency
        return limit is not None and limit.policy == "drop_new"

    def begun_before(self, told: OutcomeShape | None, at: datetime) -> Told | None:
        """The fate of what joined a run, or was held back by runs, of before the time that is rehearsed."""
        if told is None:
            return None
        run, limit = told["run"], self.trigger.rate_limit
        if told["fate"] == Fate.RAN and self._first_run is None:
            self._first_run = run
        if told["fate"] == Fate.COALESCED and run is not None and self.same("coalesce"):
            earlier = self._first_run is None or run < self._first_run
            return (Fate.COALESCED, told["reason"]) if earlier else None
        if told["fate"] == Fate.RATE_LIMITED and limit is not None and self.since is not None:
            early = at < self.since + timedelta(seconds=limit.per_s) and self.same("rate_limit")
            return (Fate.RATE_LIMITED, told["reason"]) if early else None
        return None


def _was_dropped(told: OutcomeShape) -> bool:
    return told["fate"] == Fate.IGNORED and told["reason"].startswith(DROPPED)


def _was_offered(told: OutcomeShape) -> bool:
    """Whether a run was offered for it, and age was all that could stand against that."""
    return told["fate"] != Fate.IGNORED or _was_dropped(told)
