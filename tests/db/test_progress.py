"""How far an attempt is shows while it runs, and one that falls silent is stopped."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from service import progress
from service.db.attempts import PutAttempt
from service.db.claims import Claim
from service.db.stage_logs import PutProgress
from service.db.writer import Writer
from service.model import AttemptState, RunState
from stages import Event, Pipeline, StageContext, stage
from tests.db import log_stages
from tests.db.daemons import attempts, daemon, reached, settings, start
from tests.db.writing import accept, rows, writing

go_on = threading.Event()


@stage
def tells_much(event: Event, context: StageContext) -> None:
    for number in range(20_000):
        context.progress(number / 20_000, "soon")
    context.progress(0.75, "three\0 quarters")
    if not go_on.wait(20):
        raise TimeoutError


@stage
def tells_on(context: StageContext) -> None:
    while not go_on.wait(0.001):
        told.append(len(told))
        context.progress(0.5, "soon")


@stage
def tells_late(context: StageContext) -> None:
    kept.append(context)


kept: list[StageContext] = []
told: list[int] = []
telling_on = Pipeline("telling_on", [tells_on])
telling = Pipeline("telling_much", [tells_much])
late = Pipeline("telling_late", [tells_late])


async def shown(dsn: str) -> list[tuple[str, float | None, str | None]]:
    query = "select state, progress, note from attempts order by attempt"
    return [tuple(row) for row in await rows(dsn, query)]


async def test_the_latest_report_is_in_the_row_of_a_running_attempt(database: str, tmp_path: Path) -> None:
    go_on.clear()
    async with daemon(settings(database, tmp_path), telling) as one:
        run = await start(one, "telling_much", "1")
        try:
            async with asyncio.timeout(20):
                while await shown(database) != [("running", 0.75, "three\ufffd quarters")]:
                    await asyncio.sleep(0.02)
            commits = one.writer.commits
        finally:
            go_on.set()
        assert await reached(one, run) is RunState.SUCCEEDED
        await one.writer.drained()
    assert commits < 100
    assert (await shown(database))[0][0] == "succeeded"
    lines = await rows(database, "select level, message from stage_logs order by seq")
    assert [line["level"] for line in lines] == ["progress", "progress"]
    assert [line["message"].partition(" ")[2] for line in lines] == ["soon", "three\ufffd quarters"]


async def test_reports_do_not_pile_up_while_postgres_is_away(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = asyncio.Semaphore(0)

    def put(*values: Any) -> PutProgress:
        given.release()
        return PutProgress(*values)

    monkeypatch.setattr(Writer, "_recovered", lambda writer: None)
    monkeypatch.setattr(progress, "PROGRESS_S", 0.01)
    monkeypatch.setattr(progress, "PutProgress", put)
    told.clear()
    go_on.clear()
    async with daemon(settings(database, tmp_path), telling_on) as one, asyncio.timeout(20):
        run = await start(one, "telling_on", "1")
        try:
            await given.acquire()
            one.writer.outage = "away"
            while not given.locked():
                await given.acquire()
            told.clear()
            while len(told) < 100:
                await asyncio.sleep(0.01)
            assert given.locked()
            one.writer.outage = None
            await given.acquire()
        finally:
            go_on.set()
        assert await reached(one, run) is RunState.SUCCEEDED


async def test_a_report_after_the_end_changes_nothing(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), late) as one:
        assert await reached(one, await start(one, "telling_late", "1")) is RunState.SUCCEEDED
        kept.pop().progress(0.5, "too late")
        await asyncio.sleep(0)
        await one.writer.drained()
    assert await shown(database) == [("succeeded", None, None)]
    assert await rows(database, "select from stage_logs") == []


async def test_a_report_finds_the_row_that_its_own_flush_writes_and_none_that_has_ended(database: str) -> None:
    place = (1, "s", -1, 1)

    def attempt(state: AttemptState, finished: float | None = None) -> PutAttempt:
        return PutAttempt(1, "p", 1, "s", 1, state, time.monotonic(), finished)

    async with writing(database) as writer:
        await writer.submit(accept("e", "p"))
        await writer.submit(Claim({"p": "v1"}, lambda: 1, lambda limit, found, next_s: None))
        await writer.submit(PutProgress(place, 0.5, "half"), attempt(AttemptState.RUNNING), PutProgress(place, 0.6, ""))
        assert await shown(database) == [("running", pytest.approx(0.6), "")]
        await writer.submit(attempt(AttemptState.CANCELLED, time.monotonic()))
        await writer.submit(PutProgress(place, 0.9, "after"))
    assert await shown(database) == [("cancelled", pytest.approx(0.6), "")]


async def test_a_silent_attempt_is_stopped_and_tried_again_and_one_that_beats_is_not(
    database: str, tmp_path: Path
) -> None:
    async with daemon(settings(database, tmp_path, threads=1), log_stages.beating) as one:
        run = await start(one, "beating", "1")
        assert await reached(one, run) is RunState.SUCCEEDED
        assert await attempts(one, run) == [("beats", 1, "failed"), ("beats", 2, "succeeded")]
    [row] = await rows(database, "select transient, failure from attempts where attempt = 1")
    assert row["transient"]
    assert b"gave no sign for 3 s" in row["failure"]


async def test_a_silent_stage_on_the_loop_is_stopped_too(database: str, tmp_path: Path) -> None:
    async with daemon(settings(database, tmp_path), log_stages.here["silent"]) as one:
        assert await reached(one, await start(one, "silent", "1")) is RunState.FAILED
    [row] = await rows(database, "select failure from attempts")
    assert b"gave no sign for 0.2 s" in row["failure"]
