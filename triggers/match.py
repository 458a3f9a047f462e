"""What one trigger of one pipeline makes of an event: the filter, and the parameters taken from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from triggers.base import Arrival, Binding, Fate, Offer
from triggers.event import Event
from triggers.marked import hidden, marked, secrets_of
from triggers.oddity import UNREADABLE, why_unreadable
from triggers.where import ABSENT, mismatch, select


def matches(where: Mapping[str, Any], event: Event) -> str | None:
    """None when `event` is as `where` wants it, else why not: `filter: subject is "weather", wanted "flights"`."""
    reason = mismatch(where, event)
    return None if reason is None else f"filter: {reason}"


def arrival(bindings: Sequence[Binding], event: Event) -> Arrival:
    """What all who hear an event make of it, its secrets marked."""
    event = marked(event, secrets_of(bindings))
    return Arrival(event, [offer(binding, event) for binding in bindings])


def offer(binding: Binding, event: Event) -> Offer:
    """Start a run of the binding's pipeline for `event`, or say why not: ignored, or dead as unreadable."""
    try:
        return _offer(binding, event)
    except UNREADABLE as error:
        return Offer(binding.pipeline, binding.trigger.name, Fate.DEAD, why_unreadable(error))


def _offer(binding: Binding, event: Event) -> Offer:
    trigger, event = binding.trigger, hidden(event)
    reason: str | None = "disabled: this trigger is switched off"
    if trigger.enabled:
        reason = trigger.passes_over(event) or matches(trigger.where, event)
    if reason is not None:
        return Offer(binding.pipeline, trigger.name, Fate.IGNORED, reason)
    params = params_of(trigger.params, event)
    return Offer(binding.pipeline, trigger.name, params=params, priority=trigger.priority, handling=trigger.handling)


def params_of(wanted: Mapping[str, Any], event: Event) -> Mapping[str, Any] | None:
    """The run's raw parameters: each from its path into the event, or literally from `{"value": ...}`.

    What the event does not have is left out, so that the parameter's default, or its own "field required", speaks.
    """
    if not wanted:
        return None
    found = {name: path["value"] if isinstance(path, Mapping) else select(path, event) for name, path in wanted.items()}
    return {name: value for name, value in found.items() if value is not ABSENT}
