"""`kill -9` of the daemon: its run goes on in another one, from the last finished stage."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from service.db.accept import Accept
from service.db.offered import EventRow, RunRow
from service.model import RunState
from service.settings import Role
from tests.db.daemons import daemon, reached, settings, start
from tests.db.writing import rows, until, writing
from tests.fault.daemons import daemon_process
from tests.fault.stubborn import stubborn
from triggers.cloudevents import to_json
from triggers.event import Event, utc_now

STAGES = ["ingest", "features", "train", "evaluate", "register", "deploy"]
SIX = "tests.fault.six:six"


async def begin(dsn: str, folder: Path, event_id: str = "1") -> None:
    """Accept an event that starts a run of `six`, with no daemon there."""
    import orjson

    event = Event(source="tests", id=event_id, type="t", time=utc_now(), data={"folder": str(folder)})
    row = EventRow(event.key, event.source, event.id, event.type, None, event.time, orjson.dumps(to_json(event)))
    run = RunRow(event.key, "six", "v", "test", b"{}", 0, take=False)
    async with writing(dsn) as writer:
        await writer.submit(Accept([row], [run], []))


def started(folder: Path) -> list[list[str]]:
    """Stage, run, attempt and idempotency key of every start of a stage."""
    file = folder / "started"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


async def until_started(folder: Path, stage: str) -> None:
    async with asyncio.timeout(20):
        while not any(line[0] == stage for line in started(folder)):
            await asyncio.sleep(0.01)


async def until_recorded(dsn: str, stage: str) -> None:
    """Wait until the start of a stage is in its row: it is written lazily."""
    await until(dsn, 20, "select exists (select from attempts where stage = $1 and state = 'running')", stage)


async def until_finished(dsn: str, count: int = 1) -> None:
    await until(dsn, 30, "select count(*) >= $1 from runs where finished_at is not null", count)


async def test_a_daemon_killed_in_the_middle_of_each_stage_loses_nothing(database: str, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.write_text(STAGES[0])
    await begin(database, tmp_path)
    for number, stage in enumerate(STAGES):
        async with daemon_process(database, tmp_path, SIX) as process:
            await until_started(tmp_path, stage)
            await until_recorded(database, stage)
            process.kill()
            hold.write_text(STAGES[number + 1] if number + 1 < len(STAGES) else "")
    async with daemon_process(database, tmp_path, SIX):
        await until_finished(database)

    [run] = await rows(database, "select state, epoch from runs")
    assert (run["state"], run["epoch"]) == ("succeeded", 7)
    told = await rows(database, "select stage, attempt, state, epoch from attempts order by epoch, started_at")
    assert [tuple(row) for row in told] == [
        line
        for number, stage in enumerate(STAGES, 1)
        for line in ((stage, 1, "lost", number), (stage, 2, "succeeded", number + 1))
    ]
    assert Counter(line[0] for line in started(tmp_path)) == dict.fromkeys(STAGES, 2)
    assert all(len({line[3] for line in started(tmp_path) if line[0] == stage}) == 1 for stage in STAGES)


async def test_a_daemon_that_dies_at_any_commit_finishes_each_stage_once(database: str, tmp_path: Path) -> None:
    (tmp_path / "hold").write_text("")
    await begin(database, tmp_path)
    for point in ("writer.commit", "writer.committed"):
        for nth in ("2", "4"):
            async with (
                daemon_process(database, tmp_path, SIX, TIDEMILL_FAULTS=f"{point}=crash@{nth}") as process,
                asyncio.timeout(30),
            ):
                await process.wait()
    async with daemon_process(database, tmp_path, SIX):
        await until_finished(database)
    [run] = await rows(database, "select state from runs")
    assert run["state"] == "succeeded"
    successes = await rows(database, "select stage from attempts where state = 'succeeded' order by started_at")
    assert [row["stage"] for row in successes] == STAGES


async def test_sigterm_lets_a_stage_finish_and_gives_the_rest_back(database: str, tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.write_text("train")
    await begin(database, tmp_path)
    async with daemon_process(database, tmp_path, SIX) as process:
        await until_started(tmp_path, "train")
        process.terminate()
        hold.write_text("")
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    [run] = await rows(database, "select state from runs")
    assert run["state"] == "succeeded"
    assert [row["state"] for row in await rows(database, "select state from daemons where roles <> '{}'")][
        -1
    ] == "stopped"


async def test_a_stage_that_does_not_stop_is_given_back_when_draining_takes_too_long(
    database: str, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    hold.write_text("train")
    await begin(database, tmp_path)
    async with daemon_process(database, tmp_path, SIX, TIDEMILL_EXECUTOR_DRAIN_S="0.1") as process:
        await until_started(tmp_path, "train")
        process.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    [run] = await rows(database, "select state from runs")
    assert run["state"] == "queued"
    hold.write_text("")
    async with daemon_process(database, tmp_path, SIX):
        await until_finished(database)
    assert Counter(line[0] for line in started(tmp_path)) == {**dict.fromkeys(STAGES, 1), "train": 2}


async def test_a_daemon_does_not_wait_for_a_stage_that_swallows_its_cancellation(database: str, tmp_path: Path) -> None:
    given = settings(database, tmp_path / "api", Role.TRIGGERS)
    async with daemon(given, stubborn) as api:
        stopped = {"TIDEMILL_EXECUTOR_DRAIN_S": "0.1"}
        async with daemon_process(database, tmp_path, "tests.fault.stubborn:stubborn", **stopped) as process:
            run = await start(api, "stubborn", "1", {"folder": str(tmp_path)})
            async with asyncio.timeout(20):
                while not (tmp_path / "started").exists():
                    await asyncio.sleep(0.01)
            process.terminate()
            async with asyncio.timeout(40):
                assert await process.wait() == 0
        (tmp_path / "enough").touch()
        async with daemon_process(database, tmp_path, "tests.fault.stubborn:stubborn"):
            assert await reached(api, run) is RunState.SUCCEEDED
