"""Sources against the inbox: what has no event is found and said why, and accepted once where that is wanted."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.db import parts
from service.settings import Role
from stages.base import stage
from stages.pipeline import Pipeline
from tests.db.api import Api, api, problem
from tests.db.asking import everything, tidemill
from tests.db.writing import rows
from triggers.base import Binding
from triggers.cloudevents import CloudEvents
from triggers.event import Event
from triggers.files import Files
from triggers.schedule import Every, rfc3339, tick_event

HOURLY = "kept/every:1h"
LANDING = "kept/files:landing/*.csv"


@stage
async def count(event: Event) -> int:
    return 1


kept = Pipeline(
    "kept",
    [count],
    on=[
        Every("1h", missed="all"),
        Files("landing/*.csv", stable_s=0.5),
        CloudEvents(),
        Every("2h", enabled=False, name="off"),
    ],
)
beside = Pipeline("beside", [count], on=[Files("landing/*"), Files("landing/dt=*/", name="whole", complete="marker")])


@pytest.fixture
async def mill(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    """A daemon that keeps no clock and watches no folder."""
    (tmp_path / "landing").mkdir()
    async with api(database, tmp_path, Role.API, pipelines=(kept, beside)) as one:
        async with asyncio.timeout(20):
            while len(await rows(database, "select from pipelines")) < 2:
                await asyncio.sleep(0.01)
        await rows(database, "update pipelines set first_seen_at = now() - interval '10 days'")
        yield one


async def compared(one: Api, trigger: str, **more: Any) -> dict[str, Any]:
    answer = await one.post("/api/v1/reconcile", {"trigger": trigger, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def missing(found: dict[str, Any]) -> list[str]:
    return [lack["what"] for one in found["triggers"] for lack in one["lacks"] if not lack["expected"]]


def due(hours_ago: int) -> datetime:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return now - timedelta(hours=hours_ago)


async def seen_until(one: Api, instant: datetime) -> None:
    await rows(
        one.daemon.dsn,
        "insert into positions (scope, key, value) values ('schedule', $1, $2)",
        HOURLY,
        rfc3339(instant),
    )


async def test_ticks_that_have_no_event_are_told_and_why(mill: Api) -> None:
    await seen_until(mill, due(2))
    fired = tick_event(Binding("kept", kept.on[0]), due(4))
    await mill.daemon.inbox.accept([])
    await rows(
        mill.daemon.dsn,
        "insert into events (key, source, id, type, occurred_at, envelope) values ($1, 's', '1', 't', now(), '{}')",
        fired.key,
    )
    window = {"from": rfc3339(due(5) + timedelta(minutes=1)), "to": rfc3339(due(0) + timedelta(minutes=1))}
    found = await compared(mill, HOURLY, **window)
    [one] = found["triggers"]
    assert one["checked"] == 5
    lacks = {lack["what"]: lack for lack in one["lacks"]}
    assert f"tick {rfc3339(due(4))}" not in lacks
    passed, unkept = lacks[f"tick {rfc3339(due(3))}"], lacks[f"tick {rfc3339(due(1))}"]
    assert "went past it" in passed["why"]
    assert f"was kept only until {rfc3339(due(2))}" in unkept["why"]
    assert (passed["repair"], passed["event"]) == (True, None)


async def test_ticks_before_the_trigger_was_loaded_are_as_they_should_be(mill: Api) -> None:
    await rows(mill.daemon.dsn, "update pipelines set first_seen_at = $1", due(1))
    await seen_until(mill, due(0))
    window = {"from": rfc3339(due(3) - timedelta(minutes=1)), "to": rfc3339(due(1) + timedelta(minutes=1))}
    found = await compared(mill, HOURLY, **window)
    assert found["differences"] == 0
    assert {lack["why"] for lack in found["triggers"][0]["lacks"]} == {
        "before this trigger was loaded for the first time"
    }


async def test_a_repair_makes_the_very_ticks_and_is_harmless_twice(mill: Api) -> None:
    await seen_until(mill, due(0) + timedelta(hours=2))
    window = {"from": rfc3339(due(3) + timedelta(minutes=1)), "to": rfc3339(due(1) + timedelta(minutes=1))}
    found = await compared(mill, HOURLY, **window, repair=True)
    assert (found["differences"], found["repaired"]) == (2, 2)
    keys = {lack["event"] for lack in found["triggers"][0]["lacks"]}
    binding = Binding("kept", kept.on[0])
    assert keys == {str(tick_event(binding, due(hours)).key) for hours in (1, 2)}
    assert len(await rows(mill.daemon.dsn, "select from runs")) == 2
    again = await compared(mill, HOURLY, **window, repair=True)
    assert (again["differences"], again["repaired"]) == (0, 0)
    assert len(await rows(mill.daemon.dsn, "select from runs")) == 2


async def test_files_that_lie_there_without_an_event_are_told_and_why(mill: Api, tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    (landing / "old.csv").write_text("1")
    (landing / "new.csv").write_text("2")
    (landing / "a.csv.tmp").write_text("3")
    past = time.time() - 60
    os.utime(landing / "old.csv", (past, past))
    future = time.time() + 60
    os.utime(landing / "new.csv", (future, future))
    before = await everything(mill.daemon)
    found = await compared(mill, LANDING)
    assert missing(found) == [f"file {landing / 'old.csv'}"]
    expected = {lack["what"]: lack["why"] for lack in found["triggers"][0]["lacks"] if lack["expected"]}
    assert "unchanged for less than" in expected[f"file {landing / 'new.csv'}"]
    assert found["triggers"][0]["notes"] == ["1 not complete, and so without an event: --all names them"]
    assert await everything(mill.daemon) == before

    repaired = await compared(mill, LANDING, repair=True)
    assert repaired["repaired"] == 1
    runs = await rows(mill.daemon.dsn, "select pipeline from runs order by pipeline")
    assert [row["pipeline"] for row in runs] == ["beside", "kept"], "both pipelines hear of the file"
    assert missing(await compared(mill, LANDING)) == []
    beside_too = await compared(mill, "beside/files:landing/*")
    assert f"file {landing / 'old.csv'}" not in missing(beside_too)
    assert "ignored" in str(beside_too["triggers"][0]["lacks"])


async def test_a_folder_whose_marker_never_came_is_counted(mill: Api, tmp_path: Path) -> None:
    (tmp_path / "landing/dt=1").mkdir()
    (tmp_path / "landing/dt=1/part").write_text("1")
    [told] = (await compared(mill, "beside/whole"))["triggers"]
    assert told["notes"] == ["1 not complete, and so without an event: --all names them"]
    [lack] = told["lacks"]
    assert (lack["what"], lack["expected"]) == (f"folder {tmp_path / 'landing/dt=1'}", True)


async def test_a_listener_that_comes_later_takes_no_repaired_file_twice(
    mill: Api, tmp_path: Path, database: str
) -> None:
    (tmp_path / "landing" / "a.csv").write_text("1")
    past = time.time() - 60
    os.utime(tmp_path / "landing" / "a.csv", (past, past))
    await compared(mill, LANDING, repair=True)
    async with api(database, tmp_path, Role.TRIGGERS, Role.API, pipelines=(kept, beside)) as other:
        async with asyncio.timeout(30):
            while len(await rows(database, "select from positions where scope like 'files:%'")) < 2:
                await asyncio.sleep(0.05)
        assert len(await rows(database, "select from events where source = 'tidemill:files'")) == 1
        assert missing(await compared(other, LANDING)) == []


async def test_what_keeps_no_list_says_so_and_what_is_off_misses_nothing(mill: Api) -> None:
    found = await compared(mill, "kept/cloudevents")
    assert (found["differences"], found["triggers"][0]["notes"][0][:23]) == (0, "nothing to compare with")
    assert (await compared(mill, "kept/off"))["triggers"][0]["notes"] == [
        "switched off: nobody listens, so nothing is missing"
    ]
    assert "did you mean" in problem(await mill.post("/api/v1/reconcile", {"trigger": "kept/every:1"}), 404)
    window = {"trigger": HOURLY, "from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}
    assert "is not before" in problem(await mill.post("/api/v1/reconcile", window), 422)


async def test_the_command_line_exits_by_what_is_missing(mill: Api, tmp_path: Path) -> None:
    (tmp_path / "landing" / "a.csv").write_text("1")
    past = time.time() - 60
    os.utime(tmp_path / "landing" / "a.csv", (past, past))
    code, out, err = await tidemill(mill, "reconcile", LANDING)
    assert (code, "a.csv" in out, err) == (1, True, "1 without an event that should have one\n")
    code, out, _ = await tidemill(mill, "reconcile", LANDING, "--repair", "--json")
    assert (code, json.loads(out)["repaired"]) == (0, 1)
    assert (await tidemill(mill, "reconcile", LANDING))[0] == 0


async def test_recorded_events_are_paged_by_time(mill: Api) -> None:
    for number in range(5):
        await mill.call(mill.client.send_event, {"specversion": "1.0", "id": str(number), "source": "/s", "type": "t"})
    await rows(mill.daemon.dsn, "update events set accepted_at = now() - interval '1 day' * (9 - id::int)")
    now = datetime.now(UTC)
    since, until = (now - timedelta(days=7.5)).isoformat(), (now - timedelta(days=5.5)).isoformat()
    page = await mill.call(mill.client.recorded, since, until, limit=1)
    ids = [one["cloudevent"]["id"] for one in page["events"]]
    rest = await mill.call(mill.client.recorded, since, until, after=page["next"])
    assert ids + [one["cloudevent"]["id"] for one in rest["events"]] == ["2", "3"]
    assert rest["next"] is None
    assert "expected a time" in problem(await mill.http.get("/api/v1/inbox", params={"from": "noon"}), 422)


async def test_events_of_a_source_are_looked_for_part_by_part(mill: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "AT_ONCE", 2)
    monkeypatch.setattr(parts, "SEARCH_S", 0)
    for number in range(1, 6):
        event = {"specversion": "1.0", "id": str(number), "source": "/s" if number < 5 else "/rare", "type": "t"}
        await mill.call(mill.client.send_event, event)
    now = datetime.now(UTC)
    span = (now - timedelta(days=1)).isoformat(), (now + timedelta(days=1)).isoformat()
    after, told = None, []
    while not told or after is not None:
        page = await mill.call(mill.client.recorded, *span, source="/rare", after=after)
        told.append([one["cloudevent"]["id"] for one in page["events"]])
        after = page["next"]
    assert told == [[], [], ["5"]]


async def test_a_seen_file_without_its_event_is_missing_unless_retention_took_it(
    mill: Api, tmp_path: Path, database: str
) -> None:
    past = time.time() - 3 * 86_400
    for name in ("old", "young"):
        (tmp_path / "landing" / f"{name}.csv").write_text(name)
    os.utime(tmp_path / "landing" / "old.csv", (past, past))
    async with api(database, tmp_path, Role.TRIGGERS, Role.API, pipelines=(kept, beside)):
        async with asyncio.timeout(30):
            while len(await rows(database, "select from positions where scope like 'files:%'")) < 4:
                await asyncio.sleep(0.05)
    before = [str(row["key"]) for row in await rows(database, "select key from events order by subject")]
    young = f"file {tmp_path / 'landing' / 'young.csv'}"
    old = f"file {tmp_path / 'landing' / 'old.csv'}"

    async def lose(where: str) -> None:
        await rows(database, f"delete from runs where event_key in (select key from events where {where})")
        await rows(database, f"delete from fates where event_key in (select key from events where {where})")
        await rows(database, f"delete from events where {where}")

    await lose("true")
    assert sorted(missing(await compared(mill, LANDING))) == [old, young]
    repaired = await compared(mill, LANDING, repair=True)
    assert repaired["repaired"] == 2
    again = [str(row["key"]) for row in await rows(database, "select key from events order by subject")]
    assert again == before

    await rows(database, "delete from runs")
    await rows(database, "update events set accepted_at = now() - interval '2 days' where subject like '%old.csv'")
    done = await mill.post("/api/v1/retention", {"dry_run": False, "events_days": 1})
    assert done.json()["events"] == 1, done.text
    found = await compared(mill, LANDING)
    assert (found["differences"], missing(found)) == (0, [])
    [lack] = [one for one in found["triggers"][0]["lacks"] if one["what"] == old]
    assert "retention" in lack["why"]
    await lose("subject like '%young.csv'")
    assert missing(await compared(mill, LANDING)) == [young]


async def test_a_tick_that_retention_took_is_no_difference(mill: Api) -> None:
    hours = [due(number) for number in (4, 3, 2, 1)]
    await seen_until(mill, hours[-1])
    span = {"from": (due(5)).isoformat()}
    await compared(mill, HOURLY, repair=True, **span)
    await rows(mill.daemon.dsn, "delete from runs")
    await rows(mill.daemon.dsn, "update events set accepted_at = occurred_at where source like 'tidemill:schedule%'")
    done = await mill.post("/api/v1/retention", {"dry_run": False, "events_days": 2.5 / 24})
    assert done.json()["events"] >= 1, done.text
    assert missing(await compared(mill, HOURLY, **span)) == []
    await rows(mill.daemon.dsn, "delete from events")
    lost = missing(await compared(mill, HOURLY, **span))
    assert f"tick {rfc3339(hours[-1])}" in lost
    assert f"tick {rfc3339(hours[0])}" not in lost
