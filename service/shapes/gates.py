"""What the API answers of gates."""

from __future__ import annotations

from datetime import datetime
from typing import Any

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict


class VoteShape(TypedDict):
    """What one person said at a gate. `role` is the name or group that let them, null where anybody may."""

    by: str
    role: str | None
    decision: str
    reason: str
    at: datetime
    event: str | None


class FindingShape(TypedDict):
    """One check of a gate, or one vote at it. `report` is the digest of the whole evidence where that was too large."""

    seq: int
    state: str
    reason: str
    evidence: dict[str, Any]
    subject: str
    decided_by: str
    decided_at: datetime
    report: str | None


# Where a gate stands that waited when its run ended: for nobody.
CANCELLED = "cancelled"


class GateShape(TypedDict):
    """A gate: `pending` until its source is done, `cancelled` where it waited when its run ended.

    `subject` is the digest of the artifact it was decided for, `votes` are those about that artifact. `history` is
    everything found and decided, the oldest first (of a run with very much of it: the newest). `expires_at` is when a
    waiting one fails.
    """

    name: str
    source: str
    target: str
    check: str | None
    state: str
    reason: str
    evidence: dict[str, Any]
    subject: str | None
    decided_by: str | None
    decided_at: datetime | None
    expires_at: datetime | None
    votes: list[VoteShape]
    history: list[FindingShape]


class GateDecision(TypedDict):
    """A decision as it is recorded. `waiting`: more people must approve. `runs` were started by it.

    `subject` is the digest of the artifact it is about. `note` says what is odd about who may decide, or nothing.
    """

    run: int
    gate: str
    state: str
    decided_by: str
    reason: str
    subject: str
    note: str
    runs: list[int]


class LinkShape(TypedDict):
    """A one-time link, told this once: whoever has `url` may use it in the name of `person`."""

    run: int
    gate: str
    person: str
    decision: str
    subject: str
    expires_at: datetime
    url: str
