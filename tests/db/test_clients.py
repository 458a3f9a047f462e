"""The two Python clients: one description of every call, answered at once or awaited."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from service.calls.base import Json
from service.calls.everything import AllCalls
from service.calls.runs import RunCalls
from service.client import ApiError, AsyncClient, Client, DaemonUnavailable, WaitTimeout, finished
from service.db.stage_logs import LogRow, PutLogLines
from service.model import RunState
from service.settings import Role
from stages.log_lines import LogLine
from tests.db.api import Api, api, hold
from tests.db.writing import rows
from tests.fault.storm import free_port


def calls(kind: type) -> set[str]:
    return {name for name, _ in inspect.getmembers(kind, callable) if not name.startswith("_")}


def test_both_have_every_call() -> None:
    assert calls(Client) == calls(AllCalls)
    assert calls(AsyncClient) - {"close"} == calls(AllCalls)
    for name in calls(AllCalls):
        assert getattr(Client, name).__doc__ == getattr(AllCalls, name).__doc__


def test_a_call_that_would_wait_is_a_fault_of_ours() -> None:
    waiting = asyncio.sleep(0)
    with pytest.raises(AssertionError):
        finished(waiting)
    waiting.close()


async def test_both_tell_the_same(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one, AsyncClient(one.daemon.address) as client:
        started = await client.run("sums", {"factor": 3}, event_id="mine")
        run = started["events"][0]["runs"][0]
        shown = await client.wait(run)
        assert shown == await one.call(one.client.show, run)
        assert shown["state"] == "succeeded"
        again = await one.call(one.client.run, "sums", {"factor": 3}, event_id="mine")
        assert again["events"][0]["first"] is False
        with pytest.raises(ApiError, match="there is no run 99") as refused:
            await client.show(99)
        assert refused.value.status == 404
        for page in (await client.runs(text="mine"), await one.call(one.client.runs, text="mine")):
            assert [each["id"] for each in page["runs"]] == [run]
        lines = [line["message"] async for line in client.follow_logs(run)]
        assert lines == [line["message"] for line in await one.call(lambda: list(one.client.follow_logs(run)))]


async def test_pages_are_walked_to_the_end(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.calls.runs.PAGE", 2)
    monkeypatch.setattr("service.calls.everything.PAGE", 2)
    async with api(database, tmp_path, Role.API) as one, AsyncClient(one.daemon.address) as client:
        for _ in range(5):
            await client.run("sums")
        runs = [run["id"] async for run in client.each_run(pipeline="sums")]
        events = [event["seq"] async for event in client.each_event()]
        same = await one.call(lambda: [run["id"] for run in one.client.each_run(pipeline="sums")])
        some = await one.call(lambda: list(itertools.islice(one.client.each_event(), 3)))
    assert (len(runs), len(events), len(some)) == (5, 5, 3)
    assert runs == same == sorted(runs, reverse=True)


async def test_who_waits_hears_of_the_end(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one, AsyncClient(one.daemon.address) as client, asyncio.TaskGroup() as tasks:
        run = await one.start("endless", RunState.RUNNING)
        awaited = tasks.create_task(client.wait(run))
        blocked = tasks.create_task(one.call(one.client.wait, run))
        gated = await one.start("gated", RunState.WAITING)
        assert (await client.wait(gated, until=["waiting"]))["waiting_gates"] == ["add-double"]
        hold.released.set()
        assert (await awaited)["state"] == (await blocked)["state"] == "succeeded"


async def test_who_waits_asks_no_more_often_the_more_happens(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = RunCalls.show
    asked: list[int] = []

    async def counted(calls: RunCalls, run_id: int) -> Json:
        asked.append(run_id)
        return await show(calls, run_id)

    monkeypatch.setattr(RunCalls, "show", counted)
    monkeypatch.setattr("service.calls.runs.ONCE_A_S", 60.0)
    async with api(database, tmp_path) as one, AsyncClient(one.daemon.address) as client, asyncio.TaskGroup() as tasks:
        run = await one.start("endless", RunState.RUNNING)
        awaited = tasks.create_task(client.wait(run))
        while len(asked) < 2:
            await asyncio.sleep(0.01)
        for number in range(20):
            await one.start("sums", factor=number)
            line = LogRow((run, "holds", -1, 1), number, LogLine(5.0, "log", "info", "a", str(number)))
            await one.daemon.writer.submit(PutLogLines([line]))
        hold.released.set()
        assert (await awaited)["state"] == "succeeded"
    # At first, once the stream stands, and as it is told that the run has succeeded.
    assert asked == [run] * 3


@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_who_waits_at_a_gate_is_told_for_what(database: str, tmp_path: Path, kind: type[Any]) -> None:
    async with api(database, tmp_path) as one:
        gated = await one.start("gated", RunState.WAITING)
        client = kind(one.daemon.address)
        waited = one.call(client.wait, gated, timeout_s=0.2) if kind is Client else client.wait(gated, timeout_s=0.2)
        with pytest.raises(WaitTimeout, match=r"after 0.2 s run \d+ is waiting and waits for .*add-double") as raised:
            await waited
        if kind is AsyncClient:
            await client.close()
        assert raised.value.run["state"] == "waiting"
        await one.call(one.client.decide, gated, "add-double", "approve", by="kim")
        assert (await one.call(one.client.wait, gated, timeout_s=60))["state"] == "succeeded"


class Cutting:
    """Between a client and the daemon: of the connections it lets through it cuts some, before or after the request."""

    def __init__(self, port: int, cut: set[int], *, heard: bool) -> None:
        self.port, self.cut, self.heard = port, cut, heard
        self.seen = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in request.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        request += await reader.readexactly(length)
        number, self.seen = self.seen, self.seen + 1
        if number not in self.cut or self.heard:
            inner_reader, inner = await asyncio.open_connection("127.0.0.1", self.port)
            inner.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            answer = await inner_reader.read()
            inner.close()
            if number not in self.cut:
                writer.write(answer)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def cutting(one: Api, *cut: int, heard: bool) -> AsyncIterator[str]:
    between = Cutting(int(one.daemon.address.rpartition(":")[2]), set(cut), heard=heard)
    server = await asyncio.start_server(between.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("kind", [Client, AsyncClient])
async def test_what_was_lost_is_sent_again_under_the_same_key(
    database: str, tmp_path: Path, kind: Any, heard: bool
) -> None:
    async with api(database, tmp_path) as one, cutting(one, 0, 1, heard=heard) as url:
        run = await one.start("broken")
        client = kind(url)
        if kind is Client:
            answer = await one.call(client.resume, run, by="kim")
        else:
            answer = await client.resume(run, by="kim")
            await client.close()
        noted = await rows(database, "select by from run_actions where run_id = $1", run)
    assert answer["state"] == "queued"
    assert [row["by"] for row in noted] == ["kim"]


async def test_nobody_is_waited_for_who_was_never_there() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(DaemonUnavailable, match="no daemon answers") as blocked:
        await asyncio.to_thread(Client(url).system)
    async with AsyncClient(url) as client:
        with pytest.raises(DaemonUnavailable, match="no daemon answers") as awaited:
            await client.system()
    assert (blocked.value.broke_off, awaited.value.broke_off) == (False, False)


async def test_a_stream_is_taken_up_where_it_was_left(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one, AsyncClient(one.daemon.address) as client, asyncio.timeout(20):
        runs = [await one.start("sums") for _ in range(2)]
        await one.daemon.writer.drained()
        whole = await _until_it_succeeded(client.stream(after="0.0.0", run=runs[1]))
        rest = await _until_it_succeeded(client.stream(after=whole[0][0], run=runs[1]))
        second = await one.call(_first, one.client.stream(after=whole[0][0], run=runs[1]))
    assert {entry["run"] for _, entry in whole} == {runs[1]}
    assert rest == whole[1:]
    assert second == whole[1]


async def _until_it_succeeded(stream: Any) -> list[Any]:
    seen = []
    async with aclosing(stream) as told:
        async for place, entry in told:
            seen.append((place, entry))
            if entry["move"] == "succeeded" and "stage" not in entry:
                break
    return seen


def _first(told: Any) -> Any:
    found = next(told)
    told.close()
    return found
