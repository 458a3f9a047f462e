"""The run log as server-sent events: each entry once and in order, taken up where it broke off, whoever is slow."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from service.client import AsyncClient
from service.db.reads import Reads
from service.log_stream import LogStream, Place, TooSlow
from service.news import News
from service.settings import Role
from tests.db.api import Api, api, problem
from tests.db.writing import rows

STREAM = "/api/v1/stream"
Seen = tuple[str, dict[str, Any]]


@asynccontextmanager
async def following(one: Api, query: str = "", **headers: str) -> AsyncIterator[AsyncIterator[Seen]]:
    """The events of a stream, with their ids."""

    async def events(answer: httpx.Response) -> AsyncIterator[Seen]:
        place = ""
        async for line in answer.aiter_lines():
            if line.startswith("id: "):
                place = line[4:]
            elif line.startswith("data: "):
                yield place, orjson.loads(line[6:])

    async with one.http.stream("GET", STREAM + query, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events(answer)


async def taken(events: AsyncIterator[Seen], until: Any) -> list[Seen]:
    """Events up to the first of which `until` holds."""
    found = []
    async with asyncio.timeout(20):
        async for one in events:
            found.append(one)
            if until(one[1]):
                break
    return found


def ends(run: int) -> Any:
    return lambda told: told.get("run") == run and told.get("move") == "succeeded" and "stage" not in told


async def written(database: str) -> list[dict[str, Any]]:
    found = await rows(database, "select entries from run_log order by xid, seq")
    return [told for row in found for told in orjson.loads(row["entries"])]


def plain(seen: list[Seen]) -> list[dict[str, Any]]:
    return [{name: value for name, value in told.items() if name != "at"} for _, told in seen]


async def test_what_happens_is_told_as_it_happens(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one, following(one) as events:
        await anext_ready(one)
        run = await one.start("sums")
        seen = await taken(events, ends(run))
    moves = [told["move"] for told in plain(seen) if told.get("run") == run and "stage" not in told]
    assert moves[-1] == "succeeded"
    assert {told["stage"] for told in plain(seen) if "stage" in told} == {"add", "double"}
    assert plain(seen) == (await written(database))[-len(seen) :] or plain(seen)


async def anext_ready(one: Api) -> None:
    """Until the stream has a listener: what happens from then on is told."""
    async with asyncio.timeout(20):
        while True:
            async with one.http.stream("GET", STREAM) as answer:
                async for _ in answer.aiter_bytes():
                    return


async def test_it_is_taken_up_where_it_broke_off_without_loss_or_double(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        runs = [await one.start("sums", factor=factor) for factor in range(3)]
        async with following(one, "?after=0.0.0") as events:
            whole = await taken(events, ends(runs[-1]))
        places = [place for place, _ in whole]
        assert places == [str(place) for place in sorted(map(Place.read, places))]  # type: ignore[type-var]
        assert len(set(places)) == len(places)
        for cut in (0, len(whole) // 2, len(whole) - 2):
            async with following(one, **{"Last-Event-ID": places[cut]}) as events:
                again = asyncio.create_task(taken(events, ends(runs[-1])))
                assert whole[: cut + 1] + await again == whole
        more = await one.start("sums", factor=9)
        async with following(one, "?after=0.0.0", **{"Last-Event-ID": places[-1]}) as events:
            rest = await taken(events, ends(more))
        assert {told["run"] for told in plain(rest) if "run" in told} >= {more}
        assert plain(whole + rest) == (await written(database))[: len(whole) + len(rest)]


async def test_only_what_is_asked_for_is_sent_and_the_place_moves_on(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        first = await one.start("sums")
        other = await one.start("line")
        last = await one.start("sums", factor=5)
        async with following(one, f"?after=0.0.0&run={first}") as events:
            assert {told["run"] for _, told in await taken(events, ends(first))} == {first}
        async with following(one, "?after=0.0.0&pipeline=sums") as events:
            found = {told["run"] for _, told in await taken(events, ends(last))}
            assert other not in found
            assert {first, last} <= found
        async with one.http.stream("GET", f"{STREAM}?after=0.0.0&pipeline=broken") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    place = Place.read(line[4:])
                    break
        assert place is not None
        assert place > Place(0, 0, 0)


@pytest.mark.parametrize("given", ["1", "1.2", "a.b.c", "1.2.3.4", "-1.2.3", "1.2." + "9" * 30])
async def test_a_place_that_is_none_is_refused(database: str, tmp_path: Path, given: str) -> None:
    async with api(database, tmp_path, Role.API) as one:
        assert "no place in the log" in problem(await one.http.get(STREAM, headers={"Last-Event-ID": given}), 422)
        assert "no place in the log" in problem(await one.http.get(STREAM, params={"after": given}), 422)


async def test_many_listeners_share_one_reader_and_leave_nothing_behind(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        connections = "select count(*) as n from pg_stat_activity where datname = current_database()"
        run = await one.start("sums")
        [before] = await rows(database, connections)
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=one.daemon.address, limits=limits, timeout=20) as many:
            wide = Api(one.daemon, many, one.client)

            async def watch() -> int:
                async with following(wide, "?after=0.0.0") as events:
                    return len(await taken(events, ends(run)))

            found = await asyncio.gather(*(watch() for _ in range(60)))
        [after] = await rows(database, connections)
    assert len(set(found)) == 1
    assert after["n"] <= before["n"] + one.daemon.settings.database.max_connections


@asynccontextmanager
async def stream_of(database: str, held: int) -> AsyncIterator[LogStream]:
    reads = Reads(database, size=2)
    await reads.open()
    stream = LogStream(reads, News(), held=held)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(stream.run())
        yield stream
        running.cancel()
    await reads.close()


async def test_who_is_too_slow_is_cut_off_and_may_come_again(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one, stream_of(database, held=3) as stream:
        slow = stream.follow()
        assert (await anext(slow)).entries == ()
        last = await one.start("sums")
        await one.daemon.writer.drained()
        async with aclosing(stream.follow(Place(0, 0, 0))) as quick:
            told: list[dict[str, Any]] = []
            async with asyncio.timeout(20):
                while not any(map(ends(last), told)):
                    told += [each.told for each in (await anext(quick)).entries]
            assert told == (await written(database))[: len(told)]
        with pytest.raises(TooSlow):
            await anext(slow)
        assert stream.listeners == 0
        again = stream.follow(Place(0, 0, 0))
        assert [each.told for each in (await anext(again)).entries] == await written(database)
        await again.aclose()


async def test_listeners_that_keep_up_are_told_the_same_bytes(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one, stream_of(database, held=100) as stream:
        first, second = stream.follow(), stream.follow()
        assert [(await anext(each)).frames for each in (first, second)] == [b"", b""]
        waits = [asyncio.ensure_future(anext(each)) for each in (first, second)]
        await one.start("sums")
        batches = await asyncio.gather(*waits)
        assert batches[0] is batches[1]
        assert batches[0].frames.count(b"\n\n") == len(batches[0].entries) > 0
        await first.aclose()
        await second.aclose()


async def test_a_place_that_the_log_has_not_reached_begins_anew_and_says_so(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        ahead = "999999999.1.0"
        async with one.http.stream("GET", STREAM, headers={"Last-Event-ID": ahead}) as answer:
            lines = answer.aiter_lines()
            async with asyncio.timeout(20):
                first = [line async for line in until_data(lines)]
        assert "event: anew" in first
        assert ahead in first[-1]
        place = next(line[4:] for line in first if line.startswith("id: "))
        assert Place.read(place) is not None
        async with following(one, **{"Last-Event-ID": ahead}) as events:
            run = await one.start("sums")
            assert (await taken(events, ends(run)))[-1][1]["run"] == run


async def test_what_is_in_no_log_is_told_without_a_place(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one, one.http.stream("GET", STREAM) as answer:
        lines = answer.aiter_lines()
        async with asyncio.timeout(20):
            await until(lines, ": nothing new")
            paused = await one.post("/api/v1/pauses", {"what": "sums"})
            assert paused.status_code == 200
            await until(lines, "event: changed")
            assert [await anext(lines), await anext(lines)] == ["data: {}", ""]


@pytest.mark.parametrize("others", [False, True])
async def test_whoever_follows_a_pipeline_is_told_of_what_is_in_no_log(
    others: bool, database: str, tmp_path: Path
) -> None:
    query = {"pipeline": "gated"}
    async with api(database, tmp_path) as one, one.http.stream("GET", STREAM, params=query) as answer:
        lines = answer.aiter_lines()
        async with asyncio.timeout(20):
            await until(lines, ": nothing new")
            if others:
                await asyncio.gather(
                    *(one.start("sums") for _ in range(5)), one.post("/api/v1/pauses", {"what": "sums"})
                )
            else:
                await one.post("/api/v1/pauses", {"what": "gated"})
            await until(lines, "event: changed")


async def test_the_start_page_shows_a_pause_to_whoever_was_told_of_it(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one, one.http.stream("GET", STREAM) as answer:
        lines = answer.aiter_lines()
        async with asyncio.timeout(20):
            await until(lines, ": nothing new")
            assert "because of paint" not in (await one.http.get("/")).text
            await one.post("/api/v1/pauses", {"what": "sums", "reason": "because of paint"})
            await until(lines, "event: changed")
            assert "because of paint" in (await one.http.get("/")).text


async def test_what_changes_between_a_page_and_its_stream_is_told_at_once(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        address = html.unescape(re.findall(r'data-stream="([^"]+)"', (await one.http.get("/")).text)[0])
        async with one.http.stream("GET", address) as early, asyncio.timeout(20):
            lines = early.aiter_lines()
            await until(lines, ": nothing new")
            await one.post("/api/v1/pauses", {"what": "sums"})
            await until(lines, "event: changed")
        async with one.http.stream("GET", address) as late, asyncio.timeout(20):
            await until(late.aiter_lines(), "event: changed")


async def test_our_client_goes_on_from_now_where_the_place_is_ahead_and_passes_over_what_is_no_entry(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path) as one, AsyncClient(one.daemon.address) as client:
        async with aclosing(client.stream(after="999999999.1.0")) as told:
            waiting = asyncio.ensure_future(anext(told))
            await asyncio.sleep(0.2)
            await one.post("/api/v1/pauses", {"what": "off"})
            run = await one.start("sums")
            async with asyncio.timeout(20):
                place, entry = await waiting
        assert Place.read(place) is not None
        assert entry["run"] == run


async def until(lines: AsyncIterator[str], wanted: str) -> None:
    async for line in lines:
        if line == wanted:
            return


async def until_data(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    async for line in lines:
        yield line
        if line.startswith("data: "):
            return
