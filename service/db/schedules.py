"""Reading backfills, and what became of a schedule's ticks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from service.db.reads import Reads
from service.db.rows import Row
from service.fates import strongest
from service.shapes.backfills import BackfillDetail, BackfillShape, BackfillsPage, TickShape
from triggers.base import Binding, Fate
from triggers.schedule import tick_event

MOST_TICKS = 50
KEYS_AT_ONCE = 1000


class ScheduleViews:
    """Every call may raise `DatabaseUnavailable`."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def backfills(self, *, before: int | None, limit: int) -> BackfillsPage:
        """Those below the id `before`, newest first."""
        rows = await self._reads.fetch("list_backfills", before, limit)
        following = rows[-1]["id"] if len(rows) == limit else None
        return {"backfills": [_shape(row) for row in rows], "next": following}

    async def backfill(self, backfill: int) -> BackfillDetail | None:
        """One, with its ticks; None where there is none."""
        row = await self._reads.row("show_backfill", backfill)
        if row is None:
            return None
        rows = await self._reads.fetch("show_backfill_ticks", backfill, MOST_TICKS)
        ticks = [
            {"due_at": one["due_at"], "state": one["state"], "run": one["run_id"], "reason": one["reason"]}
            for one in rows
        ]
        return BackfillDetail(**_shape(row), ticks=ticks)  # type: ignore[typeddict-item]

    async def known(self, pipeline: str, keys: Sequence[UUID]) -> int:
        """How many of these events have a run in the pipeline, or had one."""
        found = 0
        for start in range(0, len(keys), KEYS_AT_ONCE):
            found += len(await self._reads.fetch("ran_already", keys[start : start + KEYS_AT_ONCE], pipeline))
        return found

    async def ticks(self, binding: Binding, due: Sequence[datetime]) -> list[TickShape]:
        """What became of these ticks of a schedule."""
        [found] = await self.ticks_of([(binding, due)])
        return found

    async def ticks_of(self, schedules: Sequence[tuple[Binding, Sequence[datetime]]]) -> list[list[TickShape]]:
        """What became of these ticks of several schedules, by one statement."""
        keys = [{due_at: tick_event(binding, due_at).key for due_at in due} for binding, due in schedules]
        wanted = [key for due in keys for key in due.values()]
        since = await self._since([binding for binding, _ in schedules]) if wanted else {}
        rows: dict[tuple[UUID, str], list[Row]] = {}
        for row in await self._reads.fetch("outcomes_of", wanted) if wanted else ():
            rows.setdefault((row["event_key"], row["pipeline"]), []).append(row)
        return [
            [
                _tick(binding, due_at, rows.get((key, binding.pipeline), ()), since.get(binding.name))
                for due_at, key in due.items()
            ]
            for (binding, _), due in zip(schedules, keys, strict=True)
        ]

    async def _since(self, bindings: Sequence[Binding]) -> dict[str, datetime | None]:
        """Since when this installation knows each of them."""
        names = [one.pipeline for one in bindings], [one.trigger.name for one in bindings]
        rows = await self._reads.fetch("triggers_since", *names)
        return {f"{row['pipeline']}/{row['trigger']}": row["since"] for row in rows}


def _tick(binding: Binding, due_at: datetime, outcomes: Sequence[Row], since: datetime | None) -> TickShape:
    fate = strongest(Fate(row["fate"]) for row in outcomes) if outcomes else None
    best = next((row for row in outcomes if row["fate"] == fate), None)
    return {
        "due_at": due_at,
        "local": due_at.astimezone(binding.trigger.zone).isoformat(),
        "fate": None if fate is None else fate.value,
        "reason": "" if best is None else best["reason"],
        "run": None if best is None else best["run_id"],
        "before": best is None and since is not None and due_at < since,
    }


def _shape(row: Row) -> BackfillShape:
    settled = row["succeeded"] + row["failed"] + row["cancelled"]
    return {
        "id": row["id"],
        "trigger": f"{row['pipeline']}/{row['trigger']}",
        "schedule": row["schedule"],
        "state": row["state"],
        "halted": row["halted"],
        "from_at": row["from_at"],
        "to_at": row["to_at"],
        "order": "newest" if row["newest_first"] else "oldest",
        "max_parallel": row["max_parallel"],
        "priority": row["priority"],
        "again": row["again"],
        "stop_on_failure": row["stop_on_failure"],
        "asked_by": row["asked_by"],
        "asked_at": row["asked_at"],
        "finished_at": row["finished_at"],
        "stopped_by": row["stopped_by"],
        "total": row["total"],
        "looked_at": row["known"] + row["refused"] + row["started"],
        "known": row["known"],
        "refused": row["refused"],
        "under_way": row["started"] - settled,
        "succeeded": row["succeeded"],
        "failed": row["failed"],
        "cancelled": row["cancelled"],
        "reached_at": row["reached_at"],
    }
