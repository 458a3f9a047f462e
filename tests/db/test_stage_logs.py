"""What stages log: all of it within bounds, in order, live, without secrets, whatever fails around it."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from service.app import Daemon
from service.client import Client
from service.db.connect import sql
from service.db.stage_logs import LogRow, PutLogFile, PutLogLines
from service.logs.kept import KeptLog
from service.logs.queue import BATCH, LogQueue
from service.logs.queue import MOST_LINES as MOST_UNWRITTEN
from service.logs.spool import FOLDER, SpoolFolder
from service.model import RunState
from service.settings import Role
from stages import Pipeline
from stages.log_lines import MOST_ROWS, LogLine
from stages.secrets import Secrets
from tests.db import log_stages
from tests.db.daemons import daemon, reached, settings, start
from tests.db.writing import rows, writing

MIB = 1 << 20


@asynccontextmanager
async def mill(dsn: str, folder: Path, *pipelines: Pipeline, **executor: Any) -> AsyncIterator[Daemon]:
    """A daemon that drives runs and answers."""
    given = settings(dsn, folder, Role.API, Role.EXECUTOR, threads=2, **executor)
    async with daemon(given, *pipelines) as one:
        yield one


async def finished(one: Daemon, pipeline: Pipeline, data: Any = None) -> int:
    """A run of the pipeline, finished, and its log written."""
    run = await start(one, pipeline.name, "1", data)
    await reached(one, run)
    await one.writer.drained()
    return run


async def lines_of(one: Daemon, run: int, **wanted: Any) -> list[dict[str, Any]]:
    """Every line, page by page."""
    client, found, after = Client(one.address), [], 0
    while after is not None:
        page = await asyncio.to_thread(client.logs, run, after=after, **wanted)
        found += page["lines"]
        after = page["next"]
    return found


def peak_bytes() -> int:
    """The most memory this process had since `forget_peak`."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def forget_peak() -> int:
    """The memory it has now."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


@pytest.mark.parametrize("pipeline", [log_stages.printing, log_stages.logging_apart, log_stages.here["logs"]])
async def test_a_flood_of_100_mb_costs_little(pipeline: Pipeline, database: str, tmp_path: Path) -> None:
    before = (await rows(database, "select pg_database_size(current_database())"))[0][0]
    async with mill(database, tmp_path, pipeline) as one:
        memory = forget_peak()
        run = await finished(one, pipeline)
        assert peak_bytes() - memory < 60 * MIB
        after = (await rows(database, "select pg_database_size(current_database())"))[0][0]
        lines = await lines_of(one, run)
    assert after - before < 8 * MIB
    assert sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()) < 2 * MIB
    [file] = await rows(database, "select * from stage_log_files")
    assert 15 * MIB < file["size_bytes"] <= 16 * MIB
    assert len(lines) - 1 + file["dropped_lines"] == log_stages.FLOOD_BYTES // 1000
    assert lines[-1]["message"].startswith(f"{file['dropped_lines']:,} more lines (")
    assert re.search(r" lines \(8\d\.\d MB\) were dropped", lines[-1]["message"])
    assert {line["message"] for line in lines[:-1]} == {log_stages.LINE}
    assert not list((tmp_path / "home" / FOLDER).glob("*/*.jsonl"))


@pytest.mark.parametrize("pipeline", [log_stages.counting, log_stages.here["counts"]])
async def test_rows_and_files_are_one_log_in_order(pipeline: Pipeline, database: str, tmp_path: Path) -> None:
    count = MOST_ROWS + 5_000
    async with mill(database, tmp_path, pipeline) as one:
        run = await finished(one, pipeline, {"lines": count})
        lines = await lines_of(one, run)
        assert [line["fields"] for line in lines] == [{"number": number} for number in range(count)]
        assert len({line["seq"] for line in lines}) == count
        assert len(await rows(database, "select from stage_logs")) < MOST_ROWS + 1
        for place in (1, MOST_ROWS // 2, count - 1_000):
            seq = lines[place]["seq"]
            page = await asyncio.to_thread(Client(one.address).logs, run, after=seq, limit=10)
            assert page["lines"] == lines[place + 1 : place + 11]
        followed = await asyncio.to_thread(lambda: list(Client(one.address).follow_logs(run)))
        assert followed == lines
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(lines[-3]["seq"])}
        async with httpx.AsyncClient(base_url=one.address) as http:
            taken_up = (await http.get(f"/api/v1/runs/{run}/logs", headers=headers)).text
        assert taken_up.count("event: log") == 2
        assert await lines_of(one, run, attempt=2) == []
        assert await lines_of(one, run, item=0) == []


async def test_a_file_that_is_gone_is_told_and_passed_by(database: str, tmp_path: Path) -> None:
    pipeline = log_stages.here["counts"]
    async with mill(database, tmp_path, pipeline) as one:
        run = await finished(one, pipeline, {"lines": 12_000})
        [file] = await rows(database, "select digest, lines from stage_log_files")
        await one.store.delete(file["digest"])
        lines = await lines_of(one, run)
        followed = await asyncio.to_thread(lambda: list(Client(one.address).follow_logs(run)))
    assert len(lines) == 12_000 - file["lines"] + 1 == len(followed)
    assert lines[-1]["message"].startswith(f"{file['lines']:,} lines cannot be shown: artifact {file['digest']}")


@pytest.mark.parametrize("log_bytes", [0, 100_000])
async def test_the_setting_bounds_what_is_kept_beside_the_first_lines(
    log_bytes: int, database: str, tmp_path: Path
) -> None:
    pipeline = log_stages.here["counts"]
    async with mill(database, tmp_path, pipeline, log_bytes=log_bytes) as one:
        lines = await lines_of(one, await finished(one, pipeline, {"lines": 20_000}))
    files = await rows(database, "select size_bytes from stage_log_files")
    assert all(50_000 < file["size_bytes"] <= log_bytes for file in files)
    assert len(files) == (1 if log_bytes else 0)
    assert lines[-1]["message"].startswith(f"{20_000 - len(lines) + 1:,} more lines (")


async def test_a_line_has_level_logger_stream_and_fields(database: str, tmp_path: Path) -> None:
    async with mill(database, tmp_path, log_stages.telling) as one:
        lines = await lines_of(one, await finished(one, log_stages.telling))
    logger = "tidemill.stage.telling.tells"
    found = {(line["source"], line["level"], line["logger"], line["message"]) for line in lines}
    assert found == {
        ("log", "warning", logger, "read\ufffd é\\udcff"),
        ("stdout", "info", f"{logger}.stdout", "printed"),
        ("stderr", "info", f"{logger}.stderr", "raw \ufffd"),
    }
    assert [line["fields"] for line in lines if line["source"] == "log"] == [{"rows": 3, "password": "***"}]
    assert {(line["stage"], line["item"], line["attempt"]) for line in lines} == {("tells", None, 1)}


@pytest.mark.parametrize("pipeline", [log_stages.hiding, log_stages.here["hides"]])
async def test_what_a_stage_hides_is_stored_nowhere(
    pipeline: Pipeline, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with mill(database, tmp_path, pipeline) as one:
        run = await start(one, pipeline.name, "1")
        assert await reached(one, run) is RunState.FAILED
        await one.writer.drained()
        shown = await asyncio.to_thread(Client(one.address).show, run)
        messages = [line["message"] for line in await lines_of(one, run)]
        assert "of the stage" not in caplog.text
    assert shown["stages"][0]["attempts"][0]["error"]["message"] == "failed ***"
    assert "logged *** and ***" in messages
    assert "50% note ***" in messages
    if pipeline is log_stages.hiding:
        assert "printed ***" in messages
    stored = await rows(database, "select * from attempts, runs, stage_logs")
    assert "of the stage" not in str([dict(row) for row in stored])


@pytest.mark.parametrize("pipeline", [log_stages.showing, log_stages.here["shows_a_key"]])
async def test_a_key_that_comes_line_by_line_is_shown_nowhere(
    pipeline: Pipeline, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with mill(database, tmp_path, pipeline) as one:
        lines = await lines_of(one, await finished(one, pipeline))
        assert not [line for line in log_stages.KEY.splitlines() if line in caplog.text]
        assert "logged after it" in caplog.text
    told = {source: [line["message"] for line in lines if line["source"] == source] for source in ("log", "stdout")}
    assert told["log"] == ["***"] * 4 + ["logged after it"]
    assert told["stdout"] == (["***"] * 4 + ["printed after it"] if pipeline is log_stages.showing else [])


async def test_a_stage_may_log_from_several_threads(database: str, tmp_path: Path) -> None:
    pipeline = log_stages.here["talks_in_threads"]
    async with mill(database, tmp_path, pipeline) as one:
        lines = await lines_of(one, await finished(one, pipeline))
    for name in range(8):
        mine = [line["message"] for line in lines if line["message"].startswith(f"{name} ")]
        assert mine == [f"{name} {number}" for number in range(200)]


async def test_a_daemon_stores_what_one_that_died_has_spooled(database: str, tmp_path: Path) -> None:
    dead = tmp_path / "home" / FOLDER / "dead"
    dead.mkdir(parents=True)
    line = {"at": 5.5, "source": "log", "level": "info", "logger": "a", "message": "spooled"}
    whole = orjson.dumps(line) + b"\n"
    (dead / "1.jsonl").write_bytes(b'[7,"s",-1,2]\n' + whole + whole + b'{"at": 5.5, "sou')
    (dead / "2.jsonl").write_bytes(b'[7,"s"')
    living = SpoolFolder(tmp_path / "home", MIB)
    spool = living.new((8, "s", -1, 1))
    assert spool is not None
    assert spool.add(whole.rstrip())
    async with mill(database, tmp_path, log_stages.here["counts"]) as one:
        async with asyncio.timeout(10):
            while dead.exists():
                await asyncio.sleep(0.01)
        [file] = await rows(database, "select * from stage_log_files")
        stored = gzip.decompress(await one.store.get(file["digest"]))
    assert (file["run_id"], file["stage"], file["attempt"], file["lines"]) == (7, "s", 2, 2)
    assert stored == whole + whole
    assert spool.path.exists()
    spool.close()
    living.close()


async def test_while_postgres_is_away_lines_are_bounded_and_none_is_lost(database: str, tmp_path: Path) -> None:
    async with writing(database) as away:
        loop = asyncio.get_running_loop()
        queue, folder = LogQueue(away, loop), SpoolFolder(tmp_path, MIB)
        logs = [KeptLog((1, f"s{number}", -1, 1), Secrets(), queue, folder) for number in range(6)]
        # Nothing turns the loop meanwhile: this is what an outage looks like from a stage's thread.
        for number in range(9_000):
            for log in logs:
                log.add(LogLine(5.0, "log", "info", "a", str(number)))
        assert not any(log.is_live for log in logs)
        spooled = [rest.spool.lines for log in logs if (rest := log.end()).spool is not None]
        queue.push()
        await away.drained()
    found = await rows(database, "select stage, message from stage_logs order by seq")
    assert len(found) == MOST_UNWRITTEN
    assert len(found) + sum(spooled) == 9_000 * 6
    for log in logs:
        mine = [row["message"] for row in found if row["stage"] == log.place[1]]
        assert mine == [str(number) for number in range(len(mine))]


async def test_no_flush_holds_many_lines_while_more_come(database: str, tmp_path: Path) -> None:
    async with writing(database) as writer:
        queue = LogQueue(writer, asyncio.get_running_loop())
        log = KeptLog((1, "s", -1, 1), Secrets(), queue, SpoolFolder(tmp_path, MIB))
        for number in range(MOST_ROWS - 1):
            log.add(LogLine(5.0, "log", "info", "a", str(number)))
        async with asyncio.timeout(10):
            while len(await rows(database, "select from stage_logs")) < MOST_ROWS - 1:
                await asyncio.sleep(0.01)
    sizes = await rows(database, "select count(*) as size from stage_logs group by xmin")
    assert {row["size"] <= BATCH for row in sizes} == {True}


async def test_a_write_that_is_repeated_writes_nothing_twice(database: str) -> None:
    def row(number: int) -> LogRow:
        return LogRow((1, "s", -1, 1), number, LogLine(5.0, "log", "info", "a", str(number)))

    first, second = PutLogLines([row(0), row(1)]), PutLogLines([row(2)])
    file = PutLogFile((1, "s", -1, 1), "d", 5, 100, 7, last=row(3))
    async with writing(database) as writer:
        await writer.submit(first)
        await writer.submit(first, second, file)
        await writer.submit(first, second, file)
    found = await rows(database, "select message from stage_logs order by seq")
    assert [one["message"] for one in found] == ["0", "1", "2", "3"]
    assert len(await rows(database, "select from stage_log_files")) == 1


async def test_what_comes_after_the_end_of_an_attempt_is_not_heard(database: str, tmp_path: Path) -> None:
    async with writing(database) as writer:
        queue = LogQueue(writer, asyncio.get_running_loop())
        log = KeptLog((1, "s", -1, 1), Secrets(), queue, SpoolFolder(tmp_path, MIB))
        log.add(LogLine(5.0, "log", "info", "a", "in time"))
        log.end()
        log.add(LogLine(5.0, "log", "info", "a", "too late"))
        assert (log.is_spent, log.is_live) == (True, False)
        queue.push()
        await writer.drained()
    assert [row["message"] for row in await rows(database, "select message from stage_logs")] == ["in time"]


@pytest.mark.rows_by_hand
async def test_old_logs_are_pruned_and_others_stay(database: str) -> None:
    event = "insert into runs (pipeline, version, event_key, trigger, params, state, finished_at, ready_at) values"
    await rows(
        database,
        f"{event} ('p', 'v', gen_random_uuid(), 't', '', 'succeeded', now() - interval '40 days', null),"
        " ('p', 'v', gen_random_uuid(), 't', '', 'failed', now() - interval '1 day', null),"
        " ('p', 'v', gen_random_uuid(), 't', '', 'queued', null, now())",
    )
    line = LogLine(5.0, "log", "info", "a", "told")
    async with writing(database) as writer:
        for run in (1, 2, 3):
            place = (run, "s", -1, 1)
            await writer.submit(PutLogLines([LogRow(place, 0, line)]), PutLogFile(place, f"d{run}", 1, 10))
    assert [row["digest"] for row in await rows(database, sql("prune_logs"), 30, 100)] == ["d1"]
    assert [row["run_id"] for row in await rows(database, "select run_id from stage_logs order by 1")] == [2, 3]
    assert [row["run_id"] for row in await rows(database, "select run_id from stage_log_files order by 1")] == [2, 3]
    assert await rows(database, sql("prune_logs"), 30, 100) == []


async def test_the_daemons_own_log_is_left_as_it_was(database: str, tmp_path: Path) -> None:
    before = [(one, one.formatter, list(one.filters)) for one in logging.getLogger().handlers]
    async with mill(database, tmp_path, log_stages.here["counts"]):
        pass
    assert [(one, one.formatter, list(one.filters)) for one in logging.getLogger().handlers] == before
