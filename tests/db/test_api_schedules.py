"""Schedules and backfills as people ask for them: over HTTP and on the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from service.backfill import first_of, last_of
from service.settings import Role
from tests.db.api import Api, api, problem
from tests.db.asking import tidemill
from tests.db.backfilling import DAY, Seen, daily, over
from tests.db.writing import rows
from triggers import Cron, Every, Files
from triggers.base import Arrival, Binding, Fate
from triggers.match import offer
from triggers.schedule import rfc3339, tick_event

ASKED = {"trigger": "daily", "from": "2026-01-01T00:00:00Z", "to": "2026-01-05T00:00:00+00:00"}
BACKFILLS = "/api/v1/backfills"


@asynccontextmanager
async def serving(database: str, folder: Path, seen: Seen) -> AsyncIterator[Api]:
    """A daemon in every role, with one pipeline on one schedule and one on two and files."""
    pipelines = (
        daily(seen, Cron("0 2 * * *", name="nightly", timezone="Europe/Berlin")),
        daily(seen, Every("1h", end=DAY), Cron("@daily", name="day", end=DAY), Files("landing/*.csv"), name="several"),
    )
    async with api(database, folder, *Role, pipelines=pipelines) as one:
        yield one


async def test_a_schedule_tells_its_ticks_what_became_of_them_and_the_coming_ones(
    database: str, tmp_path: Path
) -> None:
    async with serving(database, tmp_path, Seen()) as one:
        binding = next(one.daemon.catalogue.bindings(Cron))
        now = datetime.now(UTC)
        last = max(due for due in _nights(binding, now - timedelta(days=3), now))
        event = tick_event(binding, last)
        await one.daemon.inbox.accept([Arrival(event, [offer(binding, event)])])
        answer = await one.call(one.client.schedule, "daily", 4)
        assert (answer["trigger"], answer["timezone"]) == ("daily/nightly", "Europe/Berlin")
        assert [tick["fate"] for tick in answer["past"]] == [None, None, None, "ran"]
        assert answer["past"][-1]["run"]
        assert [tick["fate"] for tick in answer["coming"]] == [None] * 4
        assert {tick["local"][11:19] for tick in answer["past"] + answer["coming"]} == {"02:00:00"}
        over_now = await one.call(one.client.schedule, "several/day", 2)
        assert [tick["due_at"] for tick in over_now["past"]] == [
            "2025-12-31T00:00:00+00:00",
            "2026-01-01T00:00:00+00:00",
        ]
        assert over_now["coming"] == []
        assert (await one.http.get("/api/v1/schedules/daily?count=0")).status_code == 422
        code, out, _ = await tidemill(one, "schedule", "daily", "--count", "2")
        assert code == 0
        assert "times of Europe/Berlin" in out
        assert len(out.splitlines()) == 6
        assert (
            json.loads((await tidemill(one, "schedule", "daily", "-n", "1", "--json"))[1])["trigger"] == "daily/nightly"
        )


def _nights(binding: Binding, after: datetime, until: datetime) -> list[datetime]:
    due, found = binding.trigger.next_after(after), []
    while due is not None and due <= until:
        found.append(due)
        due = binding.trigger.next_after(due)
    return found


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"trigger": "no"}, 404, "no schedule is called 'no': there are daily/nightly, several/day, several/every:1h"),
        ({"trigger": "several"}, 422, "is several schedules: name one of several/every:1h"),
        ({"trigger": "several/files:landing/*.csv"}, 422, "is no schedule"),
        ({"to": "2999-01-01T00:00:00Z"}, 422, "is in the future"),
        ({"to": "2025-01-01T00:00:00Z"}, 422, "lies before from"),
        ({"from": "2026-01-01T00:00:00"}, 422, "from"),
        ({"from": "2026-01-32"}, 422, "'2026-01-32' is no day: write it as 2026-01-31"),
        ({"to": "2999-01-01"}, 422, "is in the future"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, 422, "lies before from"),
        ({"from": "1800-01-01T00:00:00Z"}, 422, "expected a time from 1900 to 9000"),
        ({"from": "2026-01-01T03:00:00Z", "to": "2026-01-01T04:00:00Z"}, 422, "has no tick from"),
        ({"max_parallel": 0}, 422, "max_parallel"),
        ({"order": "random"}, 422, "order"),
        ({"parallel": 3}, 422, "parallel"),
        ({"trigger": "several/every:1h", "from": "1900-01-01T00:00:00Z"}, 422, "more than 100000 ticks"),
    ],
)
async def test_a_wrong_backfill_is_refused_with_what_to_do(
    database: str, tmp_path: Path, asked: dict[str, Any], status: int, said: str
) -> None:
    async with serving(database, tmp_path, Seen()) as one:
        answer = await one.post(BACKFILLS, {**ASKED, **asked})
        document = problem(answer, status)
        assert said in document + json.dumps(answer.json())
    assert await rows(database, "select * from backfills") == []


async def test_a_backfill_is_asked_for_watched_and_found_again(database: str, tmp_path: Path) -> None:
    seen = Seen()
    async with serving(database, tmp_path, seen) as one:
        plan = (await one.post(f"{BACKFILLS}/plan", ASKED)).json()
        assert (plan["total"], plan["known"], len(plan["ticks"])) == (4, 0, 4)
        assert plan["ticks"][0]["local"] == "2026-01-01T02:00:00+01:00"
        assert await rows(database, "select * from backfills") == []
        begun = await one.post(BACKFILLS, {**ASKED, "id": "mine", "by": "kim"})
        assert begun.status_code == 201
        await over(database, begun.json()["id"])
        repeated = await one.post(BACKFILLS, {**ASKED, "id": "mine", "by": "kim"})
        assert (repeated.status_code, repeated.json()["id"]) == (200, begun.json()["id"])
        other = {**ASKED, "id": "mine", "trigger": "several/day", "from": "2025-01-01T00:00:00Z"}
        assert "is that of backfill" in problem(await one.post(BACKFILLS, other), 409)
        shown = await one.call(one.client.show_backfill, begun.json()["id"])
        assert (shown["state"], shown["succeeded"], shown["looked_at"], shown["total"]) == ("succeeded", 4, 4, 4)
        assert {tick["state"] for tick in shown["ticks"]} == {"succeeded"}
        assert [one["id"] for one in (await one.call(one.client.backfills))["backfills"]] == [shown["id"]]
        assert problem(await one.http.get(f"{BACKFILLS}/77"), 404).startswith("no backfill 77")
        assert problem(await one.http.delete(f"{BACKFILLS}/77"), 404).startswith("no backfill 77")
        again = (await one.post(f"{BACKFILLS}/plan", ASKED)).json()
        assert (again["total"], again["known"]) == (4, 4)
        assert {tick["fate"] for tick in again["ticks"]} == {"ran"}
    assert len(seen.events) == 4


async def test_the_command_line_backfills_shows_progress_and_exits_by_how_it_ended(
    database: str, tmp_path: Path
) -> None:
    seen = Seen(fails={"2026-01-02T01:00:00Z"})
    since = ("--from", "2026-01-01", "--to", "2026-01-05")
    async with serving(database, tmp_path, seen) as one:
        assert (await tidemill(one, "backfills"))[1].startswith("no backfill was asked for")
        code, out, _ = await tidemill(one, "backfill", "daily", *since, "--dry-run")
        assert (code, out.splitlines()[0]) == (0, "daily/nightly: 5 ticks, 0 ran already, 5 would run")
        assert out.splitlines()[1] == "due from 2026-01-01 00:00:00 to 2026-01-05 23:59:59, times of Europe/Berlin"
        code, out, err = await tidemill(one, "backfill", "daily", *since, "--max-parallel", "2")
        assert (code, "5/5" in err) == (1, True)
        assert "backfill 1: failed: 4 succeeded, 1 failed" in out
        code, out, _ = await tidemill(one, "backfill", "daily", *since, "--detach")
        assert (code, out) == (0, "backfill 2 of 5 ticks has begun: tidemill backfills 2\n")
        await over(database, 2)
        code, out, _ = await tidemill(one, "backfills", "2")
        assert "backfill 2 of daily/nightly: succeeded" in out
        assert "5 ran before" in out
        assert "daily/nightly" in (await tidemill(one, "backfills"))[1]
        seen.slow = True
        year = ("--from", "2025-01-01", "--to", "2025-12-31", "--again", "--detach", "--json")
        begun = json.loads((await tidemill(one, "backfill", "daily", *year))[1])
        code, out, _ = await tidemill(one, "backfill", "stop", str(begun["id"]))
        assert code == 0
        assert (await over(database, begun["id"]))["state"] == "stopped"
        assert "is over: stopped" in (await tidemill(one, "backfill", "stop", str(begun["id"])))[1]
        code, _, err = await tidemill(one, "backfill", "daily")
        assert (code, "say from when" in err) == (2, True)
        code, _, err = await tidemill(one, "backfill", "daily", "--from", "yesterday")
        assert (code, "is no time" in err) == (2, True)
        code, _, err = await tidemill(one, "backfill", "stop")
        assert (code, "say which one" in err) == (2, True)


async def test_a_schedule_that_is_not_due_any_more_has_ended(database: str, tmp_path: Path) -> None:
    async with serving(database, tmp_path, Seen()) as one:

        async def shown() -> dict[str, Any]:
            return {row["name"]: row for row in (await one.call(one.client.triggers))["triggers"]}

        async with asyncio.timeout(20):
            while (found := await shown())["daily/nightly"]["state"] != "listening":
                await asyncio.sleep(0.02)
        ended = found["several/day"]
        assert (ended["state"], ended["note"]) == ("ended", f"not due any more: its end is {rfc3339(DAY)}")


def test_a_day_is_the_whole_of_it_in_the_zone_of_the_schedule() -> None:
    berlin, now = ZoneInfo("Europe/Berlin"), datetime(2026, 11, 27, 4, 30, tzinfo=UTC)
    assert first_of("2026-10-25", berlin) == datetime(2026, 10, 24, 22, tzinfo=UTC)
    day_after = datetime(2026, 10, 25, 23, tzinfo=UTC)
    assert last_of("2026-10-25", berlin, now) == day_after - timedelta(microseconds=1), "a day of 25 hours"
    assert last_of("2026-11-27", berlin, now) == now
    assert last_of("2026-11-28", berlin, now) > now
    assert last_of(now, berlin, now) == now


async def test_a_plan_tells_what_runs_again_and_how_long_ago_its_ticks_were(database: str, tmp_path: Path) -> None:
    first = ("--from", "2018-11-09", "--to", "2018-11-09")
    async with serving(database, tmp_path, Seen()) as one:
        assert (await tidemill(one, "backfill", "daily", *first))[0] == 0
        _, out, _ = await tidemill(one, "backfill", "daily", *first, "--dry-run")
        assert out.splitlines()[0] == "daily/nightly: 1 ticks, 1 ran already, 0 would run"
        ago = (datetime.now(UTC) - datetime(2018, 11, 9, 1, tzinfo=UTC)).days
        assert f"{ago} d ago" in out
        _, out, _ = await tidemill(one, "backfill", "daily", *first, "--again", "--dry-run")
        assert out.splitlines()[0] == "daily/nightly: 1 ticks, 1 ran already, 1 would run"
        assert json.loads((await tidemill(one, "backfill", "daily", *first, "--again", "--json"))[1])["succeeded"] == 1


async def test_a_backfill_is_stopped_over_http_under_the_name_of_who_asks(database: str, tmp_path: Path) -> None:
    async with serving(database, tmp_path, Seen(slow=True)) as one:
        begun = (await one.post(BACKFILLS, {**ASKED, "from": "2025-01-01T00:00:00Z"})).json()
        assert (await one.http.delete(f"{BACKFILLS}/{begun['id']}?by=lee")).status_code == 200
        row = await over(database, begun["id"])
        assert (row["state"], row["stopped_by"]) == ("stopped", "lee")
        assert row["started"] < begun["total"]
        assert "is no parameter" in problem(await one.http.delete(f"{BACKFILLS}/{begun['id']}?who=me"), 422)


async def test_a_paused_schedule_can_be_backfilled_and_ticks_that_were_held_back_run(
    database: str, tmp_path: Path
) -> None:
    seen = Seen()
    async with serving(database, tmp_path, seen) as one:
        await one.call(one.client.pause, "daily/nightly", "by the test")
        binding = next(one.daemon.catalogue.bindings(Cron))
        event = tick_event(binding, datetime(2026, 1, 2, 1, tzinfo=UTC))
        async with asyncio.timeout(20):
            [receipt] = await one.daemon.inbox.accept([Arrival(event, [offer(binding, event)])])
        assert [outcome.fate for outcome in receipt.outcomes] == [Fate.PAUSED]
        begun = (await one.post(BACKFILLS, ASKED)).json()
        row = await over(database, begun["id"])
        assert (row["state"], row["succeeded"]) == ("succeeded", 4)
        ticks = (await one.call(one.client.show_backfill, begun["id"]))["ticks"]
    assert [tick["reason"][:10] for tick in ticks if tick["reason"]] == ["was paused"]
