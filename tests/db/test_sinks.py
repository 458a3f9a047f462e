"""Sinks: what the run log tells reaches the outside in commit order, at least once; a broken one falls behind alone."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from service.clock import SystemClock
from service.db.connect import sql
from service.db.sinks import LogEntry, announce_sinks
from service.loops.relay import Relay
from service.model import RunState
from service.news import News
from service.settings import EventMode, Lifecycle, Role
from service.sinks.base import Delivered, Facts, SinkTrouble
from service.sinks.outgoing import TIMEOUT_S
from stages import Pipeline
from tests.db.api import JSON, Api, add, api, breaks
from tests.db.daemons import daemon, reached, settings
from tests.db.receiver import Receiver, Request, receiver
from tests.db.writing import rows
from triggers import faults
from triggers.cloudevents import from_http
from triggers.event import Event
from triggers.reports import GitHubStatus, GitLabStatus
from triggers.webhook import Webhook

SHA = "a" * 40
PUSH = {"after": SHA, "repository": {"full_name": "acme/flights"}}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

KILL_HOLDER = """
select pg_terminate_backend(pid) from pg_locks
where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
"""


class Kept:
    """A sink that keeps what it is told, in trouble as often as it is said to be."""

    name = "kept"

    def __init__(self, trouble: int = 0) -> None:
        self.told: list[LogEntry] = []
        self.trouble = trouble
        self.grew = asyncio.Event()

    async def deliver(self, entries: Sequence[LogEntry], facts: Facts) -> Delivered:
        if self.trouble:
            self.trouble -= 1
            self.told += entries[:1]
            raise SinkTrouble("it is away", past=1, done=Delivered(sent=1))
        self.told += entries
        self.grew.set()
        return Delivered(len(entries))

    async def close(self) -> None:
        """Nothing is open."""

    async def got(self, count: int) -> list[Any]:
        async with asyncio.timeout(30):
            while len(self.told) < count:
                self.grew.clear()
                await self.grew.wait()
        return [one.told["n"] for one in self.told]


@asynccontextmanager
async def relaying(database: str, sink: Kept) -> AsyncIterator[News]:
    news = News()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(Relay(sink, database, news, SystemClock()).run())
        try:
            yield news
        finally:
            task.cancel()


async def told(database: str, count: int) -> None:
    """Wait until the sink's position is past `count` things."""
    async with asyncio.timeout(30):
        while (await rows(database, "select delivered from sinks"))[0]["delivered"] < count:
            await asyncio.sleep(0.01)


async def log(connection: asyncpg.Connection, *numbers: int) -> None:
    await connection.execute(sql("log"), 1, orjson.dumps([{"n": n} for n in numbers]), "tidemill_log")


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(database)
    yield made
    await made.close()


async def test_entries_come_in_commit_order_and_none_is_passed_over(
    database: str, connection: asyncpg.Connection
) -> None:
    """A row that was numbered first and committed last is not skipped."""
    await announce_sinks(database, ["kept"])
    first = await asyncpg.connect(database)
    sink = Kept()
    open_one = first.transaction()
    await open_one.start()
    await log(first, 1)
    await log(connection, 2)
    async with relaying(database, sink) as news:
        await asyncio.sleep(0.2)
        assert sink.told == []
        await open_one.commit()
        news.hear("")
        assert await sink.got(2) == [1, 2]
    await first.close()


async def test_what_fails_is_tried_again_and_only_that(
    database: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.loops.relay.RETRY_S", (0.01,))
    await announce_sinks(database, ["kept"])
    await log(connection, 1, 2, 3)
    sink = Kept(trouble=2)
    async with relaying(database, sink):
        assert await sink.got(3) == [1, 2, 3]
        await told(database, 3)
    [row] = await rows(database, "select note, failing_since, delivered, refused from sinks")
    assert tuple(row) == ("", None, 3, 0)


async def test_what_was_delivered_when_the_process_died_comes_again_under_the_same_name(
    database: str, connection: asyncpg.Connection
) -> None:
    await announce_sinks(database, ["kept"])
    await log(connection, 1)
    first, second = Kept(), Kept()
    faults.arm("sink.delivered=fail")
    try:
        with pytest.raises(ExceptionGroup):
            async with relaying(database, first):
                await asyncio.sleep(30)
    finally:
        faults.arm("")
    await log(connection, 2)
    async with relaying(database, second):
        assert await second.got(2) == [1, 2]
        await told(database, 2)
    assert second.told[0].place == first.told[0].place
    third = Kept()
    await log(connection, 3)
    async with relaying(database, third):
        assert await third.got(1) == [3]


async def test_one_process_delivers_and_another_goes_on_when_it_is_gone(
    database: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.loops.relay.STANDBY_S", 0.05)
    await announce_sinks(database, ["kept"])
    first, second = Kept(), Kept()
    async with relaying(database, first) as news:
        await log(connection, 1)
        assert await first.got(1) == [1]
        async with relaying(database, second) as others:
            await log(connection, 2)
            news.hear("")
            others.hear("")
            assert await first.got(2) == [1, 2]
            assert second.told == []
            await told(database, 2)
            await connection.execute(KILL_HOLDER)
            await log(connection, 3)
            async with asyncio.timeout(30):
                while len(first.told) + len(second.told) < 3:
                    await asyncio.sleep(0.01)
    assert sorted(one.told["n"] for one in (*first.told, *second.told)) == [1, 2, 3]


async def test_a_new_sink_begins_with_what_happens_from_now_on(database: str, connection: asyncpg.Connection) -> None:
    await log(connection, 1)
    await announce_sinks(database, ["kept"])
    await announce_sinks(database, ["kept"])
    await log(connection, 2)
    sink = Kept()
    async with relaying(database, sink):
        assert await sink.got(1) == [2]


def state_of(request: Request) -> Any:
    return request.json["state"]  # type: ignore[index]


@asynccontextmanager
async def reporting(database: str, folder: Path, *pipelines: Pipeline) -> AsyncIterator[Api]:
    async with api(database, folder, pipelines=pipelines) as one:
        yield one


async def push(one: Api, hook: str, data: Any = PUSH, delivery: str = "d1") -> None:
    answer = await one.http.post(
        f"/hooks/{hook}", content=orjson.dumps(data), headers={**JSON, "X-GitHub-Delivery": delivery}
    )
    assert answer.status_code == 202


async def test_a_commit_hears_how_its_run_went(database: str, tmp_path: Path) -> None:
    async with receiver() as github, receiver() as gitlab:
        github_status = GitHubStatus(token="t", url=github.url + "/api/v3", link="https://mill.example/runs/{run}")
        good = Pipeline("good", [add], on=[Webhook("ci", report=github_status)])
        bad = Pipeline(
            "bad", [breaks], on=[Webhook("lab", report=GitLabStatus(token="g", url=gitlab.url, context="ml"))]
        )
        async with reporting(database, tmp_path, good, bad) as one:
            await push(one, "ci")
            await push(one, "lab", {"checkout_sha": SHA, "project": {"id": 7}})
            told = await github.got(1, lambda request: state_of(request) == "success")
            failed = await gitlab.got(1, lambda request: state_of(request) == "failed")
            # Not about a commit: nothing is said of it.
            await push(one, "ci", {"zen": "hello"}, "d2")
            await push(one, "ci", {**PUSH, "after": "0" * 40}, "d3")
            sinks = (await one.http.get("/api/v1/triggers")).json()["sinks"]
    assert {(request.method, request.path) for request in github.requests} == {
        ("POST", f"/api/v3/repos/acme/flights/statuses/{SHA}")
    }
    assert told[0].headers["authorization"] == "Bearer t"
    assert told[0].json == {
        "state": "success",
        "context": "tidemill/good",
        "description": "run 1 succeeded",
        "target_url": "https://mill.example/runs/1",
    }
    assert (failed[0].path, failed[0].headers["private-token"]) == (f"/projects/7/statuses/{SHA}", "g")
    assert failed[0].json == {"state": "failed", "name": "ml", "description": "run 2 failed"}
    assert {one["name"] for one in sinks} == {"status:good/webhook:ci", "status:bad/webhook:lab"}


async def test_an_outage_of_the_api_holds_up_only_its_statuses(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.loops.relay.RETRY_S", (0.05,))
    async with receiver() as github:
        github.answer_to = lambda request: (503, {"Connection": "close"}, b"away")
        hook = Webhook("ci", report=GitHubStatus(token="t", url=github.url))
        async with reporting(database, tmp_path, Pipeline("good", [add], on=[hook])) as one:
            await push(one, "ci")
            await github.got(3)
            ready = (await one.http.get("/readyz")).json()
            metrics = (await one.http.get("/metrics")).text
            # Runs go on meanwhile.
            run = (await one.http.get("/api/v1/runs/1")).json()
            github.answer_to = None
            # What was told during the outage, and refused, may have been the end as well.
            github.requests.clear()
            [told] = await github.got(1, lambda request: state_of(request) == "success")
    assert ready["ready"]
    assert "answers 503: away" in ready["sinks"]["status:good/webhook:ci"]
    assert 'tidemill_sink_failing{sink="status:good/webhook:ci"} 1' in metrics
    assert 'tidemill_sink_lag_seconds{sink="status:good/webhook:ci"}' in metrics
    assert run["state"] in {"running", "succeeded"}
    assert told.path == f"/repos/acme/flights/statuses/{SHA}"


async def test_an_api_that_does_not_answer_holds_up_neither_runs_nor_the_end(database: str, tmp_path: Path) -> None:
    async with receiver() as github:
        github.silent = True
        hook = Webhook("ci", report=GitHubStatus(token="t", url=github.url))
        async with reporting(database, tmp_path, Pipeline("good", [add], on=[hook])) as one:
            await push(one, "ci")
            await github.got(1)
            assert await reached(one.daemon, 1) is RunState.SUCCEEDED
            begun = asyncio.get_running_loop().time()
        # Less than the time for which it would have waited for the answer.
        assert asyncio.get_running_loop().time() - begun < TIMEOUT_S
    # Nothing was lost: it is told by whoever comes next.
    port, pipeline = int(github.url.rpartition(":")[2]), Pipeline("good", [add], on=[hook])
    async with receiver(port) as again, reporting(database, tmp_path, pipeline):
        await again.got(1, lambda request: state_of(request) == "success")


async def test_a_commit_that_is_not_there_is_counted_and_holds_up_nobody(database: str, tmp_path: Path) -> None:
    def answer(request: Request) -> tuple[int, dict[str, str], bytes]:
        return (422, {}, b"No commit found") if SHA in request.path else (201, {}, b"{}")

    other = "b" * 40
    async with receiver() as github:
        github.answer_to = answer
        hook = Webhook("ci", report=GitHubStatus(token="t", url=github.url))
        async with reporting(database, tmp_path, Pipeline("good", [add], on=[hook])) as one:
            await push(one, "ci")
            await github.got(1, lambda request: SHA in request.path)
            await push(one, "ci", {**PUSH, "after": other}, "d2")
            await github.got(1, lambda request: other in request.path and state_of(request) == "success")
            async with asyncio.timeout(30):
                while not (sink := (await one.http.get("/api/v1/triggers")).json()["sinks"][0])["delivered"]:
                    await asyncio.sleep(0.01)
    assert sink["refused"] >= 1
    assert sink["note"] == ""


async def events_at(address: Receiver, one: Api, run_id: int, last: str) -> list[Event]:
    """The events of a run that reached the address, up to one of type `last`."""

    def read(request: Request) -> Event:
        [event] = from_http([(k.encode(), v.encode()) for k, v in request.headers.items()], request.body)
        return event

    def of_run(request: Request) -> bool:
        return read(request).subject == f"runs/{run_id}"

    await address.got(1, lambda request: of_run(request) and read(request).type == f"dev.tidemill.run.{last}")
    return [read(request) for request in address.requests if of_run(request)]


@pytest.mark.parametrize("mode", list(EventMode))
async def test_how_runs_go_is_told_as_cloudevents(database: str, tmp_path: Path, mode: EventMode) -> None:
    async with receiver() as address:
        given = settings(database, tmp_path, Role.API, Role.EXECUTOR)
        given = dataclasses.replace(
            given, lifecycle=Lifecycle(url=address.url + "/told?by=mill", token="secret", mode=mode)
        )
        pipelines = (Pipeline("good", [add], on=[Webhook("ci")]), Pipeline("bad", [breaks], on=[Webhook("bad")]))
        async with daemon(given, *pipelines) as mill:
            import httpx

            async with httpx.AsyncClient(base_url=mill.address) as http:
                one = Api(mill, http, None)  # type: ignore[arg-type]
                headers = {**JSON, "X-GitHub-Delivery": "d1", "traceparent": TRACE}
                for hook in ("ci", "bad"):
                    assert (await http.post(f"/hooks/{hook}", content=b"{}", headers=headers)).status_code == 202
                good = await events_at(address, one, 1, "succeeded")
                bad = await events_at(address, one, 2, "failed")
            [row] = await rows(database, "select id::text from installation")
    assert [event.type.rpartition(".")[2] for event in good][-2:] == ["started", "succeeded"]
    assert {event.source for event in good} == {f"tidemill:{row['id']}/pipelines/good"}
    assert len({event.id for event in (*good, *bad)}) == len(good) + len(bad)
    assert good[-1].data["event"]["id"] == "d1"
    assert good[-1].data["state"] == RunState.SUCCEEDED
    assert bad[-1].source.endswith("/pipelines/bad")
    assert bad[-1].data["failure"]["stage"] == "breaks"
    assert good[-1].extensions["traceparent"][3:35] == TRACE[3:35]
    assert {request.path for request in address.requests} == {"/told?by=mill"}
    assert {request.headers["authorization"] for request in address.requests} == {"Bearer secret"}
    # One connection carried them all.
    assert address.connections == 1


async def test_the_log_is_read_in_the_order_of_transactions_not_of_their_digits(database: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(database)
    put = "insert into run_log (xid, daemon, entries) values ($1::text::xid8, 1, '[]')"
    for xid in ("10", "9", "100", "99", "8"):
        await connection.execute(put, xid)
    page = await connection.fetch(sql("sink_page"), "8", 0, 3)
    await connection.close()
    assert [row["xid"] for row in page] == ["8", "9", "10"]
