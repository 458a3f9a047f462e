"""How long triggers have been silent: one row for each that says how often something is to come."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Literal

from service.db.connect import columns, sql
from service.db.rows import Row
from service.db.writer import Flush, Operation


@dataclass(frozen=True, slots=True)
class Watching:
    """A trigger by its binding: how often something is to come, when this process last heard of it (by
    `time.monotonic`, for how long ago that is, is asked when it is written), and whether this process may say that it
    is silent.
    """

    binding: str
    expect_every_s: float
    seen_at_s: float | None
    judged: bool


@dataclass(frozen=True, slots=True)
class Watched:
    """Where a trigger stands. `turned`: what this write found out first."""

    binding: str
    expect_every_s: float
    last_seen_at: datetime | None
    silent_since: datetime | None
    turned: Literal["silent", "heard", ""] = ""


@dataclass(eq=False, slots=True)
class WatchTriggers(Operation):
    """Take note of what came, and find who is silent. The answer is a `Watched` for each, in any order.

    Whoever is found silent, or heard again, is so for all daemons at once, and told in the run log once: as
    `{"trigger", "pipeline", "move": "silent" | "heard", "since", "expect_every_s"}`. This is where alarms begin: a sink
    that tells people reads these entries.
    """

    order: ClassVar[int] = 94

    watching: Sequence[Watching]

    @classmethod
    async def write(cls, flush: Flush, operations: Sequence[WatchTriggers]) -> Sequence[Sequence[Watched]]:
        """Nothing is written while nothing changes."""
        return [await _watch(flush, op.watching) for op in operations]


async def _watch(flush: Flush, watching: Sequence[Watching]) -> Sequence[Watched]:
    now_s = time.monotonic()
    told = [
        (one.binding, one.expect_every_s, None if one.seen_at_s is None else now_s - one.seen_at_s)
        for one in sorted(watching, key=lambda one: one.binding)
    ]
    await flush.connection.execute(sql("watch_triggers"), *columns(told, 3))
    judged = [one.binding for one in watching if one.judged]
    turned = {row["binding"]: row for row in await flush.connection.fetch(sql("judge_silence"), judged)}
    for row in turned.values():
        flush.log.append(_entry(row))
    rows = await flush.connection.fetch(sql("list_watches"), [one.binding for one in watching])
    return [_watched(row, turned) for row in rows]


def _entry(row: Row) -> dict[str, object]:
    pipeline, _, trigger = row["binding"].partition("/")
    return {
        "trigger": trigger,
        "pipeline": pipeline,
        "move": "heard" if row["silent_since"] is None else "silent",
        "since": str(row["silent_since"] or row["last_seen_at"]),
        "expect_every_s": row["expect_every_s"],
    }


def _watched(row: Row, turned: Mapping[str, Row]) -> Watched:
    how: Literal["silent", "heard", ""] = ""
    if row["binding"] in turned:
        how = "heard" if row["silent_since"] is None else "silent"
    return Watched(row["binding"], row["expect_every_s"], row["last_seen_at"], row["silent_since"], how)
