"""Runs over HTTP: started by hand once, listed by page, shown whole, followed, cancelled and resumed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from service.client import ApiError
from service.model import RunState
from service.settings import Role
from stages import Event, Pipeline, stage
from tests.db.api import api, hold, problem
from tests.db.daemons import reached
from tests.db.writing import rows
from triggers.errors import RecordsGone

SUMS = "/api/v1/pipelines/sums/runs"


async def test_the_same_key_is_the_same_run_and_another_payload_is_refused(database: str, tmp_path: Path) -> None:
    key = {"Idempotency-Key": '"once"'}
    async with api(database, tmp_path, Role.API) as one:
        first = await one.post(SUMS, {"params": {"factor": 3}, "data": [1.5, None]}, headers=key)
        again = await one.post(SUMS, {"params": {"factor": 3}, "data": [1.5, None]}, headers=key)
        named = await one.post(SUMS, {"params": {"factor": 3}, "data": [1.5, None], "id": "once"})
        other = await one.post(SUMS, {"params": {"factor": 4}, "id": "once"})
        both = await one.post(SUMS, {"id": "another"}, headers=key)
    assert [answer.status_code for answer in (first, again, named)] == [202, 200, 200]
    assert again.json() == named.json()
    [told], [told_again] = first.json()["events"], again.json()["events"]
    assert told == {**told_again, "first": True}
    assert told_again["first"] is False
    assert "other params or data" in problem(other, 422)
    assert other.json()["runs"] == first.json()["events"][0]["runs"]
    problem(both, 422)
    assert len(await rows(database, "select from runs")) == 1


async def test_a_start_that_cannot_be_is_refused_before_anything_is_kept(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        wrong = problem(await one.post(SUMS, {"params": {"factor": "x", "facter": 1}}), 422)
        assert "factor:" in wrong
        assert "did you mean 'factor'?" in wrong
        assert "parms" in problem(await one.post(SUMS, {"parms": {}}), 422)
        assert "sums" in problem(await one.post("/api/v1/pipelines/sum/runs"), 404)
        assert "switched off" in problem(await one.post("/api/v1/pipelines/off/runs"), 409)
        problem(await one.http.post(SUMS, content=b"{", headers={"Content-Type": "application/json"}), 400)
        problem(await one.http.post(SUMS, content=b"a=1", headers={"Content-Type": "text/plain"}), 415)
        problem(await one.post(SUMS, [1]), 422)
        problem(await one.post(SUMS, headers={"Idempotency-Key": "two words"}), 400)
        assert (await one.http.post(SUMS)).status_code == 202
    assert len(await rows(database, "select from events")) == 1


async def test_a_run_is_shown_whole(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("sums", factor=3)
        await one.daemon.writer.drained()
        shown = (await one.http.get(f"/api/v1/runs/{run}")).json()
        assert await one.call(one.client.show, run) == shown
    assert (shown["state"], shown["params"], shown["waits_for"]) == ("succeeded", {"factor": 3}, None)
    assert shown["event"]["cloudevent"]["data"] == {"params": {"factor": 3}, "data": None, "by": "api"}
    assert [(stage["name"], stage["state"]) for stage in shown["stages"]] == [
        ("add", "succeeded"),
        ("double", "succeeded"),
    ]
    double = shown["stages"][1]
    [attempt] = double["attempts"]
    assert double["metrics"] == {"before": 43.0}
    assert (double["output"]["codec"], double["output"]["size_bytes"]) == ("json", 2)
    assert (attempt["attempt"], attempt["epoch"], attempt["error"]) == (1, 1, None)
    assert attempt["duration_s"] >= 0
    assert shown["duration_s"] > 0


async def test_a_failed_run_tells_why_and_the_command_to_go_on(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("broken")
        shown = (await one.http.get(f"/api/v1/runs/{run}")).json()
        resumed = await one.post(f"/api/v1/runs/{run}/resume", {"by": "ann"})
        await reached(one.daemon, run, RunState.FAILED)
        assert len((await one.http.get(f"/api/v1/runs/{run}")).json()["stages"][0]["attempts"]) == 2
        cancelled = problem(await one.post(f"/api/v1/runs/{run}/cancel"), 409)
    assert shown["failure"]["stage"] == "breaks"
    error = shown["stages"][0]["attempts"][0]["error"]
    assert error["type"].endswith("Permanent")
    assert error["message"] == "it is broken"
    assert "raise Permanent" in error["traceback"]
    assert shown["next_command"] == f"tidemill resume {run}"
    assert resumed.status_code == 202
    assert resumed.json() == {"run": run, "state": "queued", "plan": [], "gates": [], "note": None}
    assert "failed" in cancelled


@stage
async def reads(event: Event) -> int:
    raise RecordsGone("records 0-9 of t/0: the broker has deleted these records")


async def test_a_run_whose_records_are_gone_is_to_be_abandoned_and_not_tried_again(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, pipelines=(Pipeline("gone", [reads]),)) as one:
        run = await one.start("gone", RunState.FAILED)
        shown = (await one.http.get(f"/api/v1/runs/{run}")).json()
    assert shown["next_command"] == f"tidemill abandon {run} --reason WHY"


async def test_only_what_can_be_cancelled_or_resumed_is(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("endless", RunState.RUNNING)
        assert "is running" in problem(await one.post(f"/api/v1/runs/{run}/resume"), 409)
        first = await one.post(f"/api/v1/runs/{run}/cancel", {"by": "ann"})
        assert await reached(one.daemon, run) is RunState.CANCELLED
        again = await one.post(f"/api/v1/runs/{run}/cancel")
        shown = (await one.http.get(f"/api/v1/runs/{run}")).json()
        for action in ("cancel", "resume"):
            problem(await one.post(f"/api/v1/runs/{run + 1}/{action}"), 404)
            problem(await one.post(f"/api/v1/runs/x/{action}"), 404)
    assert (first.status_code, first.json()) == (200, {"run": run, "state": "running"})
    assert again.json() == {"run": run, "state": "cancelled"}
    assert (shown["state"], shown["cancelled_by"]) == ("cancelled", "ann")


async def test_lists_are_paged_by_key_and_filtered(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        ids = [await one.start("sums") for _ in range(5)]
        broken = await one.start("broken")
        first = await one.call(one.client.runs, pipeline="sums", limit=2)
        second = await one.call(one.client.runs, pipeline="sums", limit=2, before=first["next"])
        third = await one.call(one.client.runs, pipeline="sums", limit=2, before=second["next"])
        failed = await one.call(one.client.runs, state="failed")
        of_event = await one.call(one.client.runs, event=first["runs"][0]["event"]["key"])
        events = await one.call(one.client.events, kind="dev.tidemill.manual", limit=2)
        older = await one.call(one.client.events, limit=10, before=events["next"])
        for query in ("state=done", "limit=0", "limit=1001", "limit=x", "before=-1", "event=x", "pipelin=sums"):
            problem(await one.http.get(f"/api/v1/runs?{query}"), 422)
    pages = [[run["id"] for run in page["runs"]] for page in (first, second, third)]
    assert pages == [ids[:2:-1], ids[2:0:-1], ids[:1]]
    assert third["next"] is None
    assert [run["id"] for run in failed["runs"]] == [broken]
    assert failed["runs"][0]["error"] == "Permanent: it is broken"
    assert {run["error"] for run in first["runs"]} == {None}
    assert [run["id"] for run in of_event["runs"]] == [ids[-1]]
    assert [len(events["events"]), len(older["events"])] == [2, 4]
    assert older["next"] is None


async def test_an_event_is_found_by_id_or_key_and_tells_its_fate(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        for source in ("/one", "/two"):
            event = {"specversion": "1.0", "id": "a/b?c", "source": source, "type": "sum"}
            await one.call(one.client.send_event, event)
        told = await one.call(one.client.event, "a/b?c")
        other = await one.call(one.client.event, told["others"][0]["key"])
        problem(await one.http.get("/api/v1/events/none"), 404)
    assert (told["source"], other["source"]) == ("/two", "/one")
    assert told["told"] == f"It started run {told['outcomes'][0]['run']} of sums by cloudevents"


async def test_logs_come_by_page_and_as_a_stream_that_ends_with_the_run(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("sums")
        await one.daemon.writer.drained()
        page = await one.call(one.client.logs, run, limit=1)
        rest = await one.call(one.client.logs, run, after=page["next"])
        streamed = await one.call(lambda: list(one.client.follow_logs(run)))
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(page["next"])}
        taken_up = await one.http.get(f"/api/v1/runs/{run}/logs", headers=headers)
        of_add = await one.call(one.client.logs, run, stage="add")
        problem(await one.http.get(f"/api/v1/runs/{run + 9}/logs"), 404)
    assert [line["message"] for line in page["lines"] + rest["lines"]] == ["doubling 42", "doubled"]
    assert streamed == page["lines"] + rest["lines"]
    assert taken_up.headers["content-type"].startswith("text/event-stream")
    assert taken_up.text.count("event: log") == 1
    assert taken_up.text.count("event: end") == 1
    assert of_add == {"lines": [], "next": None}


async def test_a_stream_is_live(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("endless", RunState.RUNNING)
        async with one.http.stream("GET", f"/api/v1/runs/{run}/logs?follow=true") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == ": waiting"
            hold.released.set()
            async with asyncio.timeout(5):
                seen = [line async for line in lines if line.startswith("event")]
    assert seen == ["event: end"]


async def test_a_stream_does_not_hold_up_a_daemon_that_stops(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("endless", RunState.RUNNING)
        async with one.http.stream("GET", f"/api/v1/runs/{run}/logs?follow=true") as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            one.daemon.stop()
            one.daemon.hurry()
            async with asyncio.timeout(5):
                rest = [line async for line in lines]
    assert "event: end" not in rest


async def test_the_client_raises_what_the_daemon_refuses(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        with pytest.raises(ApiError, match="no such parameter") as refused:
            await one.call(one.client.run, "sums", {"facter": 1})
        answer = await one.call(one.client.run, "sums", {"factor": 1}, event_id="mine", by="ann")
    assert (refused.value.status, refused.value.title, refused.value.transient) == (422, "Unprocessable Entity", False)
    assert answer["events"][0]["id"] == "mine"
