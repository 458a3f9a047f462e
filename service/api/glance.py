"""How triggers do, worked out from rows: their mode, batches and how soon stages start."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.db.envelopes import heard_event
from service.db.rows import Row
from service.shapes.triggers import TriggerShape
from triggers.base import Fate

CONTINUOUS = ("-batches", "-stream")
SCHEDULED = frozenset({"cron", "every"})
SHOWN_BATCHES = 24
# How many of the latest runs are looked at.
NEWEST = 300


@dataclass(frozen=True, slots=True)
class Latency:
    """Of runs by one kind of trigger: how many there are among the newest, and how long events waited for a stage."""

    kind: str
    runs: int
    p50_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """How many events one kind of trigger brought, and how many of them had which fate."""

    kind: str
    events: int
    fates: Sequence[tuple[Fate, int]]


def mode(kind: str) -> str:
    """Which of the three modes a kind of trigger is of."""
    if kind in SCHEDULED:
        return "scheduled"
    return "continuous" if kind.endswith(CONTINUOUS) else "triggered"


def batches(rows: Sequence[Row]) -> Mapping[str, Sequence[int]]:
    """The sizes of the latest micro-batches, the oldest first, by `pipeline/trigger`."""
    found: dict[str, list[int]] = {}
    for row in rows:
        if row["batch"] is not None:
            sizes = found.setdefault(f"{row['pipeline']}/{row['trigger']}", [])
            if len(sizes) < SHOWN_BATCHES and isinstance(count := _count(row["batch"]), int):
                sizes.append(count)
    return {name: sizes[::-1] for name, sizes in found.items() if sizes}


def rates(rows: Sequence[Row]) -> Mapping[str, float]:
    """Records a second over the latest micro-batches, by `pipeline/trigger`; of one batch alone, nothing."""
    found: dict[str, list[tuple[datetime, int]]] = {}
    for row in rows:
        if row["batch"] is not None and isinstance(count := _count(row["batch"]), int):
            taken = found.setdefault(f"{row['pipeline']}/{row['trigger']}", [])
            if len(taken) < SHOWN_BATCHES:
                taken.append((row["queued_at"], count))
    # The oldest only says when the time began that the others took.
    spans = {name: (taken[0][0] - taken[-1][0]).total_seconds() for name, taken in found.items()}
    return {name: sum(count for _, count in found[name][:-1]) / span for name, span in spans.items() if span > 0}


def _count(envelope: bytes) -> Any:
    data = heard_event(envelope).get("data")
    return data.get("count") if isinstance(data, dict) else None


def latencies(rows: Iterable[Row], triggers: Sequence[TriggerShape]) -> list[Latency]:
    """By kind of trigger, the most frequent first."""
    kinds = {one["name"]: one["kind"] for one in triggers}
    waited: dict[str, list[float]] = {}
    for row in rows:
        if row["waited_s"] is not None:
            kind = kinds.get(f"{row['pipeline']}/{row['trigger']}") or row["trigger"].partition(":")[0]
            waited.setdefault(kind, []).append(max(row["waited_s"], 0.0))
    found = [Latency(kind, len(all_s), share(all_s, 0.5), share(all_s, 0.99)) for kind, all_s in waited.items()]
    return sorted(found, key=lambda one: (-one.runs, one.kind))


def share(values: Sequence[float], part: float) -> float:
    """The value below or at which this part of them lies (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(part * len(ranked)) - 1)]


def arrivals(rows: Iterable[Row]) -> Mapping[str, int]:
    """How many of these runs each trigger started, by `pipeline/trigger`."""
    found: dict[str, int] = {}
    for row in rows:
        name = f"{row['pipeline']}/{row['trigger']}"
        found[name] = found.get(name, 0) + 1
    return found


def heard(accepted: Mapping[tuple[str, Fate], int]) -> list[Heard]:
    """By kind of trigger, the most frequent first; the fates of each in the order in which `Fate` names them."""
    order = list(Fate)
    found: dict[str, list[tuple[Fate, int]]] = {}
    for (kind, fate), events in sorted(accepted.items(), key=lambda one: order.index(one[0][1])):
        found.setdefault(kind, []).append((fate, events))
    told = [Heard(kind, sum(events for _, events in fates), fates) for kind, fates in found.items()]
    return sorted(told, key=lambda one: (-one.events, one.kind))


def totals(unfinished: Mapping[tuple[str, str], tuple[int, int]]) -> Mapping[str, int]:
    """How many runs are in each state that is no end, and how many are late."""
    found = dict.fromkeys(("running", "waiting", "queued", "late"), 0)
    for (_, state), (runs, late) in unfinished.items():
        found[state] += runs
        found["late"] += late
    return found
