"""A run started by hand: `tidemill run` and `POST /api/v1/pipelines/NAME/runs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import quote
from uuid import uuid4

from triggers.base import Binding, Fate, Offer, Trigger
from triggers.event import Event
from triggers.match import offer
from triggers.route import MANUAL as MANUALLY
from triggers.route import Route

MANUAL = "dev.tidemill.manual"


@dataclass(frozen=True)
class Manual(Trigger):
    """Lets people start the pipeline. Every pipeline has one; declare it to set `params` or to switch it off."""

    kind: ClassVar[str] = "manual"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It hears who starts its pipeline by hand."""
        return None if (route.kind, route.target) == (MANUALLY, pipeline) else "it hears starts by hand alone"


def manual_event(
    pipeline: str,
    params: Mapping[str, Any],
    data: Any,
    event_id: str | None,
    by: str,
    now: datetime,
    tags: Sequence[str] = (),
) -> Event:
    """The event of a start by hand. With the same `event_id` (an `Idempotency-Key`) it is the same event."""
    given = {"params": dict(params), "data": data, "by": by}
    return Event(
        source=f"tidemill:manual/{quote(pipeline, safe='')}",
        id=event_id or str(uuid4()),
        type=MANUAL,
        time=now,
        subject=pipeline,
        datacontenttype="application/json",
        data=given | ({"tags": list(dict.fromkeys(tags))} if tags else {}),
    )


def manual_offer(binding: Binding, event: Event) -> Offer:
    """What the pipeline's `Manual` makes of it: the params given by hand over those the trigger maps, and the tags."""
    made = offer(binding, event)
    if made.fate is not Fate.RAN:
        return made
    params = {**(made.params or {}), **event.data["params"]}
    return replace(made, params=params, tags=tuple(event.data.get("tags", ())), pausable=False)
