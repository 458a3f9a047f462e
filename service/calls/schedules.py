"""What a client asks about schedules and backfills."""

from __future__ import annotations

from datetime import date
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from service.calls.base import Calls, Json, asked


class ScheduleCalls(Calls):
    """Part of `service.calls.everything.AllCalls`."""

    async def schedule(self, trigger: str, count: int = 10) -> Json:
        """The latest ticks of a schedule and what became of them, and the coming ones."""
        return await self._get(f"/api/v1/schedules/{quote(trigger)}", count=count)

    async def backfill(self, /, trigger: str, since: date, until: date | None = None, **wanted: Any) -> Json:
        """Run the ticks of a schedule that were due from `since` to `until` (default: now); see `BackfillBody`.

        Each is an aware datetime, or a date: all of that day in the schedule's time zone.

        With `dry_run=True` it only tells which they are.
        """
        path = "/api/v1/backfills/plan" if wanted.pop("dry_run", False) else "/api/v1/backfills"
        body = {"trigger": trigger, "from": since.isoformat(), "id": str(uuid4()), **wanted}
        return await self._ask("POST", path, body | ({"to": until.isoformat()} if until else {}))

    async def backfills(self, limit: int = 50, before: int | None = None) -> Json:
        """Backfills, newest first."""
        return await self._get("/api/v1/backfills", limit=limit, before=before)

    async def show_backfill(self, backfill: int) -> Json:
        """One backfill and its ticks."""
        return await self._get(f"/api/v1/backfills/{backfill}")

    async def stop_backfill(self, backfill: int, by: str | None = None) -> Json:
        """Start no more ticks of a backfill; its runs go on."""
        return await self._ask("DELETE", asked(f"/api/v1/backfills/{backfill}", {"by": by}))
