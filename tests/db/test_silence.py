"""A trigger from which nothing comes raises one alarm, over daemons and restarts, and is told of when it is heard."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.db import watches
from service.db.watches import Watched, Watching, WatchTriggers
from service.loops import listeners, silence, supervised
from service.settings import Role
from stages import Event, Pipeline, stage
from tests.db.api import Api, api
from tests.db.daemons import daemon, settings
from tests.db.writing import rows, writing
from triggers import CloudEvents, Every, Files
from triggers.base import ListenerState
from triggers.errors import InvalidTrigger


@stage
async def hear(event: Event) -> str:
    return event.id


posted = CloudEvents(where={"type": "tick"}, name="posted", expect_every_s=1)
hearing = Pipeline("hearing", [hear], on=[posted, CloudEvents(where={"type": "other"}, name="calm")])
NAME = "hearing/posted"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "LOOK_S", 0.1)
    monkeypatch.setattr(listeners, "REPORT_S", 0.1)
    monkeypatch.setattr(supervised, "FIRST_WAIT_S", 0.2)


async def alarms(dsn: str) -> list[dict[str, Any]]:
    """What the run log says of triggers."""
    entries = [entry for row in await rows(dsn, "select entries from run_log order by seq")
               for entry in orjson.loads(row["entries"])]  # fmt: skip
    return [entry for entry in entries if entry.get("move") in ("silent", "heard")]


async def until(dsn: str, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        while len(found := await alarms(dsn)) < count:
            await asyncio.sleep(0.05)
    return found


async def send(one: Api, event_id: str, kind: str = "tick") -> None:
    event = {"specversion": "1.0", "id": event_id, "source": "/t", "type": kind}
    headers = {"Content-Type": "application/cloudevents+json"}
    assert (await one.http.post("/api/v1/events", content=orjson.dumps(event), headers=headers)).status_code in (
        200,
        202,
    )


async def test_silence_is_told_once_by_all_daemons_and_again_when_it_ends(database: str, tmp_path: Path) -> None:
    async with (
        api(database, tmp_path / "a", *Role, pipelines=(hearing,)) as one,
        api(database, tmp_path / "b", Role.API, pipelines=(hearing,)) as other,
    ):
        [alarm] = await until(database, 1)
        assert {name: alarm[name] for name in ("trigger", "pipeline", "move", "expect_every_s")} == {
            "trigger": "posted", "pipeline": "hearing", "move": "silent", "expect_every_s": 1.0,
        }  # fmt: skip
        for each in (one, other):
            async with asyncio.timeout(10):
                while "silent since" not in (await each.http.get("/readyz")).json()["triggers"][NAME]:
                    await asyncio.sleep(0.05)
            ready = await each.http.get("/readyz")
            assert ready.status_code == 200
            assert "silent" not in ready.json()["triggers"]["hearing/calm"]
            gauge = 'tidemill_trigger_silent{pipeline="hearing",trigger="posted",kind="cloudevents"}'
            assert f"\n{gauge} 1\n" in (await each.http.get("/metrics")).text
        [told] = [each for each in (await one.http.get("/api/v1/triggers")).json()["triggers"] if each["name"] == NAME]
        assert told["expect_every_s"] == 1
        assert told["silent_since"] is not None
        assert "something is expected every 1 s" in told["note"]
        await asyncio.sleep(1.0)
        assert len(await alarms(database)) == 1
        await send(other, "0", "other")  # what its filter does not let through is no sign of it
        await send(other, "1")
        found = await until(database, 2)
        assert [each["move"] for each in found[:2]] == ["silent", "heard"]
        found = await until(database, 3)
        assert [each["move"] for each in found[:3]] == ["silent", "heard", "silent"]


async def test_an_alarm_outlives_its_daemon(database: str, tmp_path: Path) -> None:
    for number in range(2):
        async with api(database, tmp_path / str(number), *Role, pipelines=(hearing,)) as one:
            await until(database, 1)
            async with asyncio.timeout(10):
                while one.daemon.silence.since(NAME) is None:
                    await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
    assert [each["move"] for each in await alarms(database)] == ["silent"]


async def test_one_silence_is_one_alarm_however_long_writes_take(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came once is not heard again by being told of again, each time a little later."""
    asked, delays_s = watches._watch, [0.0]

    async def slow(*given: Any) -> Any:
        await asyncio.sleep(delays_s[-1])
        return await asked(*given)

    monkeypatch.setattr(watches, "_watch", slow)
    async with api(database, tmp_path, *Role, pipelines=(hearing,)) as one:
        await until(database, 1)
        await send(one, "1")
        await until(database, 3)
        delays_s.append(0.6)
        await asyncio.sleep(2.0)
    assert [each["move"] for each in await alarms(database)] == ["silent", "heard", "silent"]


async def watch(dsn: str, *watching: Watching) -> list[Watched]:
    async with writing(dsn) as writer:
        [found] = await writer.submit(WatchTriggers(watching))
    return sorted(found, key=lambda one: one.binding)


async def test_what_is_waited_for_is_kept_and_waited_for_anew_when_it_changes(database: str, tmp_path: Path) -> None:
    [first] = await watch(database, Watching("p/t", 60.0, None, judged=True))
    assert (first.silent_since, first.last_seen_at, first.turned) == (None, None, "")
    await rows(database, "update trigger_watches set since = now() - interval '66 s'")
    [young] = await watch(database, Watching("p/t", 60.0, None, judged=False))
    assert young.turned == ""
    [late] = await watch(database, Watching("p/t", 60.0, None, judged=True))
    assert late.turned == "silent"
    assert late.silent_since is not None
    assert (datetime.now(UTC) - late.silent_since).total_seconds() > 60
    came_at_s = time.monotonic() - 65.9
    [still] = await watch(database, Watching("p/t", 60.0, came_at_s, judged=True))
    assert (still.turned, still.silent_since is None) == ("heard", True)  # it came, but that was told late
    [again] = await watch(database, Watching("p/t", 60.0, came_at_s, judged=True))
    assert again.turned == "silent"
    [other] = await watch(database, Watching("p/t", 50.0, None, judged=True))
    assert (other.turned, other.silent_since) == ("heard", None)
    assert [each["move"] for each in await alarms(database)] == ["silent", "heard", "silent", "heard"]


async def test_nothing_is_written_while_nothing_changes(database: str, tmp_path: Path) -> None:
    watching = Watching("p/t", 60.0, time.monotonic() - 5.0, judged=True)
    await watch(database, watching)
    [before] = await rows(database, "select ctid, xmin::text from trigger_watches")
    await watch(database, Watching("p/t", 60.0, None, judged=True), Watching("p/u", 60.0, None, judged=True))
    await watch(database, Watching("p/t", 60.0, time.monotonic() - 6.0, judged=True))
    await asyncio.sleep(0.3)  # as long as a write may wait in its queue
    await watch(database, watching)
    [after] = await rows(database, "select ctid, xmin::text from trigger_watches where binding = 'p/t'")
    assert after == before


@pytest.mark.parametrize("wrong", [0, -1, 0.5, True, "1h", float("nan"), float("inf"), 10**12])
def test_what_is_no_time_is_refused_when_it_is_declared(wrong: Any) -> None:
    with pytest.raises(InvalidTrigger, match="expect_every_s"):
        Every("1h", expect_every_s=wrong)


@pytest.mark.parametrize("trigger", [Every("1s", name="one"), Files("landing/*.csv", name="one")])
async def test_a_listener_that_dies_starts_again_and_loses_nothing(
    database: str, tmp_path: Path, trigger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it hands over is refused once by an error that nobody expects there."""
    pipeline = Pipeline("dying", [hear], on=[trigger])
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "a.csv").write_text("1")
    faults = iter([KeyError("nobody expects this"), RuntimeError("nor this")])
    async with api(database, tmp_path, *Role, pipelines=(pipeline,)) as one:
        accept = one.daemon.inbox.accept

        async def dies(*given: Any, **more: Any) -> Any:
            for error in faults:
                raise error
            return await accept(*given, **more)

        monkeypatch.setattr(one.daemon.inbox, "accept", dies)
        (tmp_path / "landing" / "b.csv").write_text("2")
        async with asyncio.timeout(30):
            while "it stopped (KeyError" not in (await one.http.get("/readyz")).json()["triggers"]["dying/one"]:
                await asyncio.sleep(0.02)
            count = f'tidemill_trigger_restarts_total{{pipeline="dying",trigger="one",kind="{trigger.kind}"}} '
            assert f"\n{count}" in (await one.http.get("/metrics")).text
            while len(await rows(database, "select from runs where state = 'succeeded'")) < 2:
                await asyncio.sleep(0.02)
            while not (await one.http.get("/readyz")).json()["triggers"]["dying/one"].startswith("listening"):
                await asyncio.sleep(0.02)
        assert f"\n{count}2\n" in (await one.http.get("/metrics")).text
        [status] = [
            each for listener in one.daemon.listeners for each in listener.statuses() if each.binding == "dying/one"
        ]
        assert status.state is ListenerState.LISTENING
    keys = await rows(database, "select event_key from runs")
    assert len(keys) == len(set(keys))


async def test_when_a_trigger_last_saw_something_outlives_its_daemon(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path / "a", *Role, pipelines=(hearing,)) as one:
        await send(one, "1")
        async with asyncio.timeout(10):
            while not await rows(database, f"select from trigger_seen where binding = '{NAME}'"):
                await asyncio.sleep(0.05)
        before = await seen_by(one)
    async with api(database, tmp_path / "b", *Role, pipelines=(hearing,)) as one:
        after = await seen_by(one)
        text = (await one.http.get("/metrics")).text
    assert after == before
    assert after is not None
    gauge = 'tidemill_trigger_last_seen_seconds{pipeline="hearing",trigger="posted",kind="cloudevents"} '
    assert f"\n{gauge}{datetime.fromisoformat(after).timestamp():.17g}\n" in text


async def seen_by(one: Api) -> str | None:
    told = (await one.http.get("/api/v1/triggers")).json()["triggers"]
    return next(each["last_seen_at"] for each in told if each["name"] == NAME)


async def test_a_daemon_that_watches_nobody_asks_nothing(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path, *Role), Pipeline("calm", [hear])) as one:
        assert not one.silence.watches
    assert await rows(database, "select from trigger_watches") == []
