"""What the API answers of how things go just now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

# Before Python 3.12 pydantic reads only this one.
from typing_extensions import TypedDict


class LatencyShape(TypedDict):
    """Of the newest runs by one kind of trigger: how long events waited for their first stage."""

    kind: str
    runs: int
    p50_s: float
    p99_s: float


class HeardShape(TypedDict):
    """How many events one kind of trigger brought this daemon since it began, and how many had which fate."""

    kind: str
    events: int
    fates: Mapping[str, int]


class PeopleWait(TypedDict):
    """How much waits for a person: gates of runs that go on, and failed runs."""

    gates: int
    reviews: int


class NowAnswer(TypedDict):
    """`unfinished`: runs by state, and how many are late. `arrivals`, `batches` (sizes of the latest, the oldest first)
    and `records_per_s` are by trigger, and go by the `newest` runs.
    """

    at: datetime
    since: datetime
    unfinished: Mapping[str, int]
    people_wait: PeopleWait
    newest: int
    arrivals: Mapping[str, int]
    batches: Mapping[str, Sequence[int]]
    records_per_s: Mapping[str, float]
    latencies: Sequence[LatencyShape]
    heard: Sequence[HeardShape]
