"""Rehearses a trigger in this process over what a daemon has on record, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from service.asking.rehearsal import Rehearsal, ticks, ticks_of
from service.asking.shapes import BacktestAnswer
from service.client import Client
from stages.pipeline import Pipeline
from triggers.base import Binding, Trigger
from triggers.event import utc_now
from triggers.schedule import Schedule, tick_source

DAY = timedelta(days=1)


def rehearse_here(
    client: Client, pipeline: Pipeline, name: str, trigger: Trigger, span: Mapping[str, str | None]
) -> BacktestAnswer:
    """What `trigger` would have done in the place of the one called `name`. Raises `ApiError`, `DaemonUnavailable`."""
    until = _instant(span["to"]) or utc_now()
    since = _instant(span["from"]) or until - DAY
    rehearsal = Rehearsal(pipeline, trigger, name)
    recorded: set[datetime] = set()
    source = tick_source(Binding(pipeline.name, trigger))
    for one in _recorded(client, since, until):
        rehearsal.see({**one, "accepted_at": datetime.fromisoformat(one["accepted_at"])})  # type: ignore[typeddict-item]
        if one["cloudevent"]["source"] == source:
            recorded.add(datetime.fromisoformat(one["cloudevent"]["time"]))
    answer = rehearsal.end(since, until)
    if isinstance(trigger, Schedule):
        answer["ticks"] = ticks(iter(sorted(recorded)), ticks_of(trigger, since, until))
    return answer


def _recorded(client: Client, since: datetime, until: datetime) -> Iterator[dict[str, Any]]:
    after: int | None = None
    while True:
        page = client.recorded(since.isoformat(), until.isoformat(), after=after)
        yield from page["events"]
        after = page["next"]
        if after is None:
            return


def _instant(given: str | None) -> datetime | None:
    return None if given is None else datetime.fromisoformat(given)
