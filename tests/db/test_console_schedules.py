"""Schedules in the console: calendars, pausing, firing, backfills."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from service.console.calendar import cells, stretch
from service.settings import Role
from tests.db.api import api, sums
from tests.db.backfilling import Seen, daily, over
from tests.db.console import form_of, look, send, text_of
from tests.db.daemons import reached
from tests.db.writing import rows
from triggers import Cron, Every, Files
from triggers.event import FIRED_BY

ROLES = (Role.API, Role.TRIGGERS, Role.EXECUTOR)
NIGHTLY = "/schedules/daily/nightly"
BACKFILL = "/backfills/new?trigger=daily/nightly&from=2026-01-01&to=2026-01-05"


def nightly(seen: Seen) -> Cron:
    return Cron("0 2 * * *", name="nightly", start=datetime(2026, 1, 1, tzinfo=UTC))


async def test_a_calendar_shows_what_became_of_each_tick(database: str, tmp_path: Path) -> None:
    seen = Seen(fails={"2026-01-02T02:00:00Z"})
    pipelines = (daily(seen, nightly(seen), Files("landing/*.csv")), sums)
    async with api(database, tmp_path, *ROLES, pipelines=pipelines) as one:
        body = {"trigger": "daily/nightly", "from": "2026-01-01", "to": "2026-01-03"}
        backfill = (await one.post("/api/v1/backfills", body)).json()["id"]
        await over(database, backfill)
        await rows(database, "update pipelines set first_seen_at = '2026-01-20'")
        page = await look(one, f"{NIGHTLY}?on=2026-01-15")
        assert "January 2026" in text_of(page)
        assert page.count('<li class="cell') == 31
        told = re.findall(r'title="2026-01-\d\d 02:00:00: ([^"]*)"', page)
        # Of before it was known here only what was backfilled.
        assert [tick.split(" ")[0] for tick in told[:4]] == ["ran,", "ran,", "ran,", "nothing"]
        assert [tick for tick in told if "," not in tick] == ["nothing came of it"] * 12
        assert [tick.split(" ")[-1] for tick in told[:3]] == ["succeeded", "failed", "succeeded"]
        assert page.count('<li class="bad"') == 1
        assert len(told) == 15
        assert f"{NIGHTLY}?on=2026-02-01T00:00:00Z" in page
        assert f"{NIGHTLY}?on=2025-12-31T23:59:59Z" in page
        before = text_of(await look(one, f"{NIGHTLY}?on=2025-12-31T23:59:59Z"))
        assert "December 2025" in before
        assert "It is not due in this time." in before
        listed = await look(one, "/schedules")
        assert 'href="/schedules/daily/nightly"' in listed
        assert f'href="/backfills/{backfill}"' in listed
        assert "landing" not in text_of(listed)
        await look(one, f"{NIGHTLY}?on=someday", 422)
        await look(one, f"{NIGHTLY}?on=0001-01-01", 422)
        await look(one, "/schedules/none", 404)


def test_the_busier_a_schedule_the_shorter_the_time_that_is_shown() -> None:
    at = datetime(2026, 3, 11, 10, 20, tzinfo=UTC)
    found = {every: stretch(Every(every), at) for every in ("6h", "30m", "1m", "10s", "1s")}
    assert [one.span for one in found.values()] == ["month", "week", "day", "hour", "minutes"]
    assert (found["1s"].begin, len(found["1s"].due)) == (at, 600)
    week = found["30m"]
    ticks = [{"due_at": one, "local": "", "fate": None, "reason": "", "run": None, "before": False} for one in week.due]
    days = cells(week, ticks, Every("30m").zone)  # type: ignore[arg-type]
    assert [(one.name, len(one.ticks)) for one in days][:2] == [("Mon 09 Mar", 48), ("Tue 10 Mar", 48)]
    assert len(days) == 7


def test_a_calendar_keeps_to_the_clock_of_its_zone() -> None:
    berlin = Cron("30 2 * * *", timezone="Europe/Berlin")
    found = stretch(berlin, datetime(2026, 3, 15, tzinfo=UTC))
    assert found.begin == datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert found.end == datetime(2026, 3, 31, 22, tzinfo=UTC)
    ticks = [
        {"due_at": one, "local": "", "fate": None, "reason": "", "run": None, "before": False} for one in found.due
    ]
    days = cells(found, ticks, berlin.zone)  # type: ignore[arg-type]
    assert (days[0].name, days[-1].name, len(days)) == ("Sun 01 Mar", "Tue 31 Mar", 31)


async def test_a_schedule_is_paused_and_let_go_on(database: str, tmp_path: Path) -> None:
    seen = Seen()
    async with api(database, tmp_path, *ROLES, pipelines=(daily(seen, nightly(seen)),)) as one:
        form = form_of(await look(one, NIGHTLY), "/act/triggers/pause")
        done = await send(one, "/act/triggers/pause", {**form, "by": "kim", "reason": "<b>rest</b>"})
        assert done.headers["location"] == NIGHTLY
        page = await look(one, NIGHTLY)
        assert "‖ paused" in text_of(page)
        assert "<b>rest</b>" in text_of(page)
        assert "<b>rest" not in page
        assert "paused by kim" in text_of(await look(one, "/schedules"))
        form = form_of(page, "/act/triggers/unpause")
        await send(one, "/act/triggers/unpause", {**form, "by": "ann"})
        again = await send(one, "/act/triggers/unpause", {**form, "by": "ann"})
        assert again.status_code == 409
        assert "ann let daily/nightly go on" in text_of(await look(one, NIGHTLY))
    [pause] = await rows(database, "select paused_by, reason, lifted_by from pauses")
    assert tuple(pause) == ("kim", "<b>rest</b>", "ann")


async def test_a_tick_is_fired_now_once(database: str, tmp_path: Path) -> None:
    seen = Seen()
    async with api(database, tmp_path, *ROLES, pipelines=(daily(seen, nightly(seen)),)) as one:
        form = {**form_of(await look(one, NIGHTLY), "/act/triggers/fire"), "by": "kim"}
        first = await send(one, "/act/triggers/fire", form)
        second = await send(one, "/act/triggers/fire", form)
        run = int(first.headers["location"].rpartition("/")[2])
        assert second.headers["location"] == first.headers["location"]
        await reached(one.daemon, run)
        [event] = seen.events
    assert event.extensions[FIRED_BY] == "kim"


async def test_a_backfill_is_looked_at_begun_followed_and_stopped(database: str, tmp_path: Path) -> None:
    seen = Seen()
    async with api(database, tmp_path, *ROLES, pipelines=(daily(seen, nightly(seen)),)) as one:
        assert "daily/nightly" in text_of(await look(one, "/backfills/new"))
        page = await look(one, BACKFILL + "&max_parallel=2")
        assert re.search(r"5 ticks from .* 0 ran already. 5 would run.", text_of(page))
        assert await rows(database, "select from backfills") == []
        form = {**form_of(page, "/act/backfills"), "by": "kim"}
        first = await send(one, "/act/backfills", form)
        again = await send(one, "/act/backfills", form)
        assert first.headers["location"] == again.headers["location"] == "/backfills/1"
        row = await over(database, 1)
        assert (row["asked_by"], row["max_parallel"], row["succeeded"]) == ("kim", 2, 5)
        done = text_of(await look(one, "/backfills/1"))
        assert "5 of 5 ticks gone over" in done
        assert "5 ✓ succeeded" in done
        assert "5 ran already. 0 would run." in text_of(await look(one, BACKFILL))
        assert "#1" in text_of(await look(one, "/backfills"))
        await look(one, BACKFILL + "&max_parallel=x", 422)
        await look(one, "/backfills/new?trigger=daily/nightly&from=someday", 422)
        await look(one, "/backfills/9", 404)


async def test_a_backfill_that_is_stopped_starts_no_more(database: str, tmp_path: Path) -> None:
    seen = Seen()
    # Nobody drives runs here, so the first is under way until the backfill is stopped.
    async with api(database, tmp_path, Role.API, pipelines=(daily(seen, nightly(seen)),)) as one:
        form = form_of(await look(one, BACKFILL), "/act/backfills")
        await send(one, "/act/backfills", {**form, "by": "kim"})
        stop = form_of(await look(one, "/backfills/1"), "/act/backfills/1/stop")
        await send(one, "/act/backfills/1/stop", {**stop, "by": "ann"})
        told = text_of(await look(one, "/backfills/1"))
    assert "Stopped by ann." in told
    [row] = await rows(database, "select stopped_by from backfills")
    assert row["stopped_by"] == "ann"
