"""Rows of a list are told apart: every page calls an event by its id, and by its subject where that says more."""

from __future__ import annotations

from pathlib import Path

from service.model import RunState
from tests.db.api import STRUCTURED, Api, api, cloudevent
from tests.db.daemons import reached


async def sent(one: Api, event_id: str, **more: str) -> tuple[str, int]:
    """The event's key, and the run it started."""
    answer = await one.http.post("/api/v1/events", json=cloudevent(event_id, **more), headers=STRUCTURED)
    assert answer.status_code == 202, answer.text
    [told] = answer.json()["events"]
    return told["key"], told["runs"][0]


async def test_events_of_one_subject_have_names_of_their_own(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        key, run = await sent(one, "2/220-419", subject="flights.live/2")
        await sent(one, "2/420-419", subject="flights.live/2")
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
        digest = (await one.http.get(f"/api/v1/runs/{run}")).json()["stages"][0]["output"]["digest"]
        lists, own = ("/events", "/runs"), (f"/events/{key}", f"/events/{key}/explain", f"/runs/{run}")
        for path in (*lists, *own, f"/runs/{run}/artifacts/{digest}/lineage"):
            text = (await one.http.get(path)).text
            assert "2/220-419 (flights.live/2)" in text, path
            assert ("2/420-419 (flights.live/2)" in text) == (path in lists), path


async def test_a_long_name_is_cut_and_whole_when_pointed_at(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        await sent(one, "i" * 60, subject="s" * 60)
        text = (await one.http.get("/runs")).text
        assert f'title="{"i" * 60} ({"s" * 60})"' in text
        assert f">{'i' * 47}…{'s' * 23})<" in text


async def test_a_gate_that_waits_names_the_event_as_every_list_does(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        await one.start("gated", RunState.WAITING)
        [gate] = (await one.http.get("/api/v1/gates")).json()["gates"]
        [run] = (await one.http.get("/api/v1/runs")).json()["runs"]
        assert gate["event"] == run["event"]["id"]
        assert f">{gate['event']}</a>" in (await one.http.get("/reviews")).text
