"""Rehearses a trigger in this process over what a daemon has on record, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from service.asking.due import Due, due_from
from service.asking.rehearsal import Rehearsal
from service.asking.shapes import BacktestAnswer
from service.calls.base import ApiError
from service.client import Client
from stages.pipeline import Pipeline
from triggers.base import Binding, Trigger
from triggers.event import utc_now
from triggers.schedule import Schedule

DAY = timedelta(days=1)


def rehearse_here(
    client: Client, pipeline: Pipeline, name: str, trigger: Trigger, span: Mapping[str, str | None]
) -> BacktestAnswer:
    """What `trigger` would have done in the place of the one called `name`. Raises `ApiError`, `DaemonUnavailable`."""
    until = _instant(span["to"]) or utc_now()
    since = _instant(span["from"]) or until - DAY
    rehearsal = Rehearsal(pipeline, trigger, name, _declared(client, pipeline.name, name), since)
    # What it listens to is in its own name alone: under a given one it may be another topic or folder.
    rehearsal.unchanged = trigger.name == trigger.default_name() and rehearsal.record.same()
    if isinstance(trigger, Schedule):
        rehearsal.due = _due(client, Binding(pipeline.name, trigger), rehearsal.declared, since, until)
    for one in _recorded(client, since, until):
        rehearsal.see({**one, "accepted_at": datetime.fromisoformat(one["accepted_at"])})  # type: ignore[typeddict-item]
    return rehearsal.end(since, until)


def _declared(client: Client, pipeline: str, name: str) -> Mapping[str, Any] | None:
    """The trigger as the daemon describes it, None where it has none of this name."""
    try:
        found = client.pipeline(pipeline)
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise
    return next((one for one in found["triggers"] if one["name"] == name), None)


def _due(client: Client, binding: Binding, declared: Mapping[str, Any] | None, since: datetime, until: datetime) -> Due:
    was: list[datetime] = []
    began = None
    if declared is not None:
        told = client.due(binding.name, since.isoformat(), until.isoformat())
        was, began = [datetime.fromisoformat(one) for one in told["due"]], _instant(told["began_at"])
    return Due.of(was, due_from(binding.trigger, since, until), began, utc_now())


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
