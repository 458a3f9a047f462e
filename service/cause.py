"""What caused a run, where it was another run: told by the events that stages emit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from triggers.event import EMITTED, Event

DEEPEST = 16
_ID = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Cause:
    """The run and stage that emitted an event, and how many such causes lie behind a run it starts."""

    run: int
    stage: str
    depth: int


def cause_of(event: Event) -> Cause | None:
    """None for an event that no stage emitted, whatever it says of itself. A run is told in text: ids may be long."""
    if not event.source.startswith(EMITTED):
        return None
    run, stage, depth = (event.extensions.get(name) for name in ("tidemillrun", "tidemillstage", "tidemilldepth"))
    if not _ID.fullmatch(str(run)) or not isinstance(depth, int):
        return None
    return Cause(int(str(run)), str(stage or ""), max(depth, 0))


def too_deep(cause: Cause) -> str | None:
    """Why a chain of runs that cause each other ends here, if it does."""
    if cause.depth <= DEEPEST:
        return None
    return (
        f"loop guard: more than {DEEPEST} runs caused each other one after the other; the last one is run {cause.run},"
        f" whose stage {cause.stage} emitted this event"
    )
