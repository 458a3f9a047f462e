"""A trigger as it would be with other settings: made of plain data, so that anybody may ask about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from service.errors import Invalid
from triggers.base import Trigger
from triggers.coalesce import Batch, Coalesce, Latest
from triggers.schedule import Cron, Every, Schedule

FORMS = "each, batch(MAX_EVENTS, MAX_WAIT_S) or latest(QUIET_S, MAX_WAIT_S)"
_COALESCE = re.compile(r"\s*(batch|latest)\s*[(:]\s*([0-9.]+)\s*,\s*([0-9.]+)\s*\)?\s*")


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be different: None is as declared. `coalesce` is written like `batch(100, 60)`."""

    where: Mapping[str, Any] | None = None
    cron: str | None = None
    timezone: str | None = None
    coalesce: str | None = None
    every: str | None = None


def changed(trigger: Trigger, changes: Changes) -> Trigger:
    """The trigger with these changes, checked as one that is declared. Raises `Invalid` or `InvalidTrigger`."""
    if changes.cron is not None or changes.timezone is not None or changes.every is not None:
        trigger = _rescheduled(trigger, changes)
    if changes.where is not None:
        trigger = replace(trigger, where=changes.where)
    if changes.coalesce is not None:
        trigger = replace(trigger, coalesce=parse_coalesce(changes.coalesce, trigger.coalesce))
    return trigger


def _rescheduled(trigger: Trigger, changes: Changes) -> Trigger:
    if changes.cron is not None and changes.every is not None:
        raise Invalid("give a cron expression or an interval (`every`), not both")
    if not isinstance(trigger, Schedule):
        raise Invalid(
            f"{trigger.name} is a {trigger.kind} trigger, and has no cron expression to change, and no interval"
        )
    zone: dict[str, Any] = {} if changes.timezone is None else {"timezone": changes.timezone}
    if changes.every is not None:
        if isinstance(trigger, Every):
            return replace(trigger, interval=changes.every, **zone)
        return Every(changes.every, timezone=changes.timezone or trigger.zone.key, **_kept(trigger))
    if isinstance(trigger, Cron):
        return replace(trigger, expression=trigger.expression if changes.cron is None else changes.cron, **zone)
    if changes.cron is None:
        raise Invalid(f"{trigger.name} is a {trigger.kind} trigger, and has no cron expression to change")
    return Cron(changes.cron, timezone=changes.timezone or "UTC", **_kept(trigger))


def _kept(trigger: Schedule) -> dict[str, Any]:
    """All that schedules of every kind have, but for how they are handled: that follows from it."""
    return {one.name: getattr(trigger, one.name) for one in fields(Schedule) if one.init}


def parse_coalesce(text: str, present: Coalesce | None) -> Coalesce | None:
    """`each`, `batch(100, 60)` or `latest(10, 60)`, with the key of the present one. Raises `Invalid`."""
    if text.strip() == "each":
        return None
    found = _COALESCE.fullmatch(text)
    if found is None:
        raise Invalid(f"coalesce {text!r}: write {FORMS}")
    kind, first, second = found.groups()
    key = present.key if present is not None else None
    try:
        return Batch(int(first), float(second), key) if kind == "batch" else Latest(float(first), float(second), key)
    except ValueError:
        raise Invalid(f"coalesce {text!r}: write {FORMS}") from None
