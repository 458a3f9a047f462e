"""What the API answers of replays. The shapes of everything else: `service.shapes.answers`."""

from __future__ import annotations

from typing import Any

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict


class ReplayOf(TypedDict):
    """A run that was made of an event again. In `shadow` it changed nothing outside."""

    run: int
    pipeline: str
    version: str
    state: str
    shadow: bool


class ReplayShape(TypedDict):
    """What a run is a replay of: the event by its key, and the run it had, if any.

    In `shadow` it changes nothing outside; without `reuse` every stage is run. A sub-run of a replay in shadow is in
    shadow too: its `event` is its own, and it is there `by` the run that asked for it.
    """

    event: str
    run: int | None
    shadow: bool
    reuse: bool
    by: str


class EffectShape(TypedDict):
    """What a stage of a run in shadow would have done outside: `register`, `move_alias`, `emit`; `told` in words."""

    stage: str
    item: int | None
    attempt: int
    effect: str
    told: str
    detail: dict[str, Any]
