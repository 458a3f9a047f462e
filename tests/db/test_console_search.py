"""Looking for runs and events by text, day, trigger and key: what is asked for stands in the address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from service.db import parts
from service.settings import Role
from tests.db.api import STRUCTURED, Api, api, cloudevent
from tests.db.console import look, text_of
from tests.db.writing import rows

EVIL = "\"'><img src=x onerror=alert(1)>"


async def sent(one: Api, event_id: str, **more: Any) -> dict[str, Any]:
    answer = await one.post("/api/v1/events", cloudevent(event_id, **more), headers=STRUCTURED)
    event: dict[str, Any] = answer.json()["events"][0]
    return event


async def moved(database: str, event_id: str, day: str) -> None:
    """As if it had been accepted then, and its run queued."""
    at = f"'{day}T12:00:00Z'"
    await rows(database, f"update events set accepted_at = {at} where id = $1", event_id)
    query = f"update runs set queued_at = {at} where event_key = (select key from events where id = $1)"
    await rows(database, query, event_id)


async def test_runs_and_events_are_found_by_day_text_trigger_and_key(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        events = [await sent(one, f"e{number}", subject=f"Flights {number}") for number in range(1, 5)]
        for number, day in ((1, "2026-01-01"), (2, "2026-01-02"), (3, "2026-01-02"), (4, "2026-01-03")):
            await moved(database, f"e{number}", day)
        for path in ("/runs", "/events"):
            day = text_of(await look(one, f"{path}?since=2026-01-02&until=2026-01-02"))
            assert [f"Flights {number}" in day for number in range(1, 5)] == [False, True, True, False]
            late = text_of(await look(one, f"{path}?since=2026-01-03"))
            assert [f"Flights {number}" in late for number in range(1, 5)] == [False, False, False, True]
            worded = text_of(await look(one, f"{path}?text=flights+2&since=2026-01-01"))
            assert [f"Flights {number}" in worded for number in range(1, 5)] == [False, True, False, False]
            assert "of this kind" in text_of(await look(one, f"{path}?text=nowhere"))
            assert EVIL not in await look(one, f"{path}?text=%22%27%3E%3Cimg+src%3Dx+onerror%3Dalert(1)%3E")
            await look(one, f"{path}?since=someday", 422)
        trigger = (await one.http.get("/api/v1/runs")).json()["runs"][0]["trigger"]
        assert "Flights 3" in text_of(await look(one, f"/runs?trigger={trigger}"))
        assert "No run of this kind." in text_of(await look(one, "/runs?trigger=manual"))
        [ran] = (await one.http.get("/api/v1/events?key=e3")).json()["events"]
        pipeline = ran["outcomes"][0]["pipeline"]
        for asked, there in (
            (f"pipeline={pipeline}", True),
            (f"pipeline={pipeline}&trigger={trigger}&since=2026-01-02", True),
            ("pipeline=gone", False),
            ("trigger=manual", False),
        ):
            assert ("Flights 3" in text_of(await look(one, f"/events?{asked}"))) is there, asked
        for key in (events[2]["key"], "e3"):
            found = text_of(await look(one, f"/events?key={key}"))
            assert ("Flights 3" in found, "Flights 2" in found) == (True, False)
        assert "No event of this kind." in text_of(await look(one, "/events?key=none"))
        await look(one, "/events?fate=dead")


async def test_what_no_index_finds_is_looked_for_part_by_part(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "AT_ONCE", 3)
    monkeypatch.setattr(parts, "SEARCH_S", 0)
    async with api(database, tmp_path, Role.API) as one:
        for number in range(1, 8):
            await sent(one, f"e{number}", subject="wanted" if number == 2 else "other")
        for path in ("/runs", "/events"):
            first = await look(one, f"{path}?text=wanted")
            assert re.search(r"None of this kind since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", text_of(first))
            assert "Look further back" in first
            assert "before=5" in first
            second = await look(one, f"{path}?text=wanted&before=5")
            assert "wanted" in text_of(second[second.index("<tbody>") :])
            assert "Looked back to" in text_of(second)


async def test_a_search_goes_on_from_part_to_part_while_that_is_quick(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "AT_ONCE", 3)
    monkeypatch.setattr(parts, "SEARCH_S", 60)
    async with api(database, tmp_path, Role.API) as one:
        for number in range(1, 8):
            await sent(one, f"e{number}", subject="wanted" if number % 3 == 1 else "other")
        for path in ("runs", "events"):
            whole = (await one.http.get(f"/api/v1/{path}?text=wanted")).json()
            assert (len(whole[path]), whole["next"]) == (3, None)
            first = (await one.http.get(f"/api/v1/{path}?text=wanted&limit=2")).json()
            assert (len(first[path]), first["next"]) == (2, 4)
