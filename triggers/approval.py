"""A gate that somebody decided, as an event: it may start other pipelines."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

import orjson

from triggers.base import Trigger
from triggers.errors import InvalidTrigger
from triggers.event import Event
from triggers.route import APPROVAL, Route

Decision = Literal["approved", "rejected"]


@dataclass(frozen=True)
class Approval(Trigger):
    """Listens to decisions at gates: of `pipeline` and at `gate`, or (None) of any; `decision` None means either.

    Where several people must approve, it is the vote that decides the gate; `where={"data.decided": [True, False]}`
    hears every one.
    """

    kind: ClassVar[str] = "approval"

    pipeline: str | None = None
    gate: str | None = None
    decision: Decision | None = "approved"

    def default_name(self) -> str:
        """Such as `approval:flights/deploy:approved`; `*` where any will do."""
        return f"approval:{self.pipeline or '*'}/{self.gate or '*'}:{self.decision or '*'}"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It hears decisions at gates."""
        return None if route.kind == APPROVAL else "it hears decisions at gates alone"

    def __post_init__(self) -> None:
        if self.decision not in ("approved", "rejected", None):
            raise InvalidTrigger(f"approval: decision {self.decision!r}: use 'approved', 'rejected' or None for either")
        asked: dict[str, Any] = {"pipeline": self.pipeline, "gate": self.gate, "decision": self.decision}
        own = {f"data.{name}": value for name, value in (asked | {"decided": True}).items() if value is not None}
        object.__setattr__(self, "where", {**own, **self.where})
        super().__post_init__()


def approval_event(
    *,
    pipeline: str,
    run_id: int,
    gate: str,
    decision: Decision,
    by: str,
    reason: str,
    now: datetime,
    subjects: Mapping[str, str],
    decided: bool = True,
    via: str = "",
) -> Event:
    """The event of one vote. `subjects` are the digests of the artifacts it was given for, by name.

    Its identity is run, gate, decision and subjects: deciding twice is one event, deciding anew about other artifacts
    is another. A vote that does not decide the gate (`decided` False: more are needed) also has its person in it.
    `via` tells how it came (`link`), where it was not by command or API.
    """
    about = hashlib.blake2b(orjson.dumps(dict(subjects), option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()
    return Event(
        source="tidemill:approvals",
        id=f"{run_id}/{gate}/{decision}" + (f"/{about}" if subjects else "") + ("" if decided else f"/{by}"),
        type=f"dev.tidemill.gate.{decision}",
        time=now,
        subject=pipeline,
        datacontenttype="application/json",
        data={
            "pipeline": pipeline,
            "run_id": run_id,
            "gate": gate,
            "decision": decision,
            "decided": decided,
            "by": by,
            "reason": reason,
            "subjects": dict(subjects),
            **({"via": via} if via else {}),
        },
    )
