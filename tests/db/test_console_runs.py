"""Runs and events in the console: lists that are narrowed and paged, one run whole, one event and its fate."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from service.db.costs import PutCost
from service.model import RunState
from service.settings import Role
from stages.base import stage
from stages.cost import Cost
from stages.pipeline import Pipeline
from tests.db.api import PIPELINES, SECRET, STRUCTURED, Api, api, cloudevent
from tests.db.console import form_of, look, send, text_of
from tests.db.daemons import reached
from triggers.event import Event

EVIL = "<img src=x onerror=alert(1)>\"'"


@stage
async def tells(event: Event) -> dict[str, str]:
    return {"told": EVIL}


@stage(reuse="run")
async def lists(tells: dict[str, str]) -> bytes:
    return EVIL.encode()


words = Pipeline("words", [tells, lists], tags=[EVIL])
ALL = (*PIPELINES, words)


async def started(one: Api, pipeline: str, *states: RunState, **more: Any) -> int:
    answer = await one.post(f"/api/v1/pipelines/{pipeline}/runs", more)
    assert answer.status_code == 202, answer.text
    run: int = answer.json()["events"][0]["runs"][0]
    await reached(one.daemon, run, *states)
    return run


async def test_runs_are_narrowed_by_the_address(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        good, bad = await one.start("sums"), await one.start("broken")
        tagged = await started(one, "sums", tags=["a b"], params={"factor": 5})
        everything = text_of(await look(one, "/runs"))
        failed = await look(one, "/runs?state=failed&pipeline=")
        by_tag = text_of(await look(one, "/runs?tag=a+b&pipeline=sums"))
        none = text_of(await look(one, "/runs?pipeline=sums&state=failed"))
        await look(one, "/runs?state=wrong", 422)
        await look(one, "/runs?event=wrong", 422)
    assert all(f"#{run} " in everything for run in (good, bad, tagged))
    assert "broken #2" in text_of(failed)
    assert "sums #" not in text_of(failed)
    assert "<option selected>failed</option>" in failed
    assert "breaks: Permanent: it is broken" in text_of(failed)
    assert f"#{tagged} " in by_tag
    assert f"#{good} " not in by_tag
    assert "No run of this kind." in none


async def test_lists_are_paged_by_key(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        for number in range(55):
            await one.post("/api/v1/events", cloudevent(f"e{number}"), headers=STRUCTURED)
        for path, older in (("/runs?pipeline=sums", "before=6"), ("/events?type=sum", "before=6")):
            first = await look(one, path)
            found = re.search(r'href="(/(?:runs|events)\?[^"]*before=\d+)"', first)
            assert found is not None
            assert older in found[1]
            second = await look(one, found[1].replace("&amp;", "&"))
            seen = [set(re.findall(r'<tr id="(?:run|event)-(\d+)"', page)) for page in (first, second)]
            assert (len(seen[0]), len(seen[1]), seen[0] & seen[1]) == (50, 5, set())
            assert "Back to the newest" in second


async def test_a_run_is_shown_whole(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=ALL) as one:
        waiting = await one.start("gated", RunState.WAITING)
        page = await look(one, f"/runs/{waiting}")
        told = text_of(page)
        assert "It waits for somebody to decide gate add-double." in told
        assert "add-double: waiting" in told
        assert re.search(r"Queued (now|.* ago) ?, under way for \d+ s", told)
        assert re.search(r"ago for \d+ s|now for \d+ s", text_of(await look(one, "/runs")))
        assert 'class="box good"' in page
        assert f"/api/v1/stream?run={waiting}&amp;after=" in page
        action = f"/act/runs/{waiting}/gates/add-double"
        answer = await send(one, action, {**form_of(page, action), "decision": "approve", "by": "ann", "reason": "ok"})
        assert answer.headers["location"] == f"/runs/{waiting}"
        await reached(one.daemon, waiting)
        done = text_of(await look(one, f"/runs/{waiting}"))
        assert "approved by ann" in done
        assert "under way" not in done
        assert re.search(r", took \d", done)
        assert "before 42" in done
        assert "of CPU" not in done
        await one.daemon.writer.submit(PutCost((waiting, "add", -1, 1), Cost(1.25, 81_000_000)))
        assert text_of(await look(one, f"/runs/{waiting}")).count("1.25 s of CPU, 81 MB of memory") == 2
        assert "gate add-double" in done
        broken = await look(one, f"/runs/{await one.start('broken')}")
        assert "breaks: a permanent failure Permanent: it is broken traceback" in text_of(broken)
        assert "Traceback" in broken
        await look(one, "/runs/99", 404)
        await look(one, "/runs/x", 404)


async def test_a_run_is_cancelled_and_given_up(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        action = f"/act/runs/{run}/cancel"
        await send(one, action, {**form_of(await look(one, f"/runs/{run}"), action), "by": "kim"})
        assert await reached(one.daemon, run) is RunState.CANCELLED
        page = text_of(await look(one, f"/runs/{run}"))
        assert "kim cancelled it" in page
        assert "○ cancelled add-double" in page
        assert "◷ waiting" not in page
        broken = await one.start("broken")
        action = f"/act/runs/{broken}/abandon"
        form = form_of(await look(one, f"/runs/{broken}"), action)
        await send(one, action, {**form, "by": "kim", "reason": EVIL})
        page = await look(one, f"/runs/{broken}")
    assert "Given up by kim" in text_of(page)
    assert EVIL in text_of(page)
    assert "<img src=x" not in page


async def test_what_users_name_and_make_is_text_everywhere(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=ALL) as one:
        sent = cloudevent(EVIL, "sum", subject=EVIL, data={"factor": 3, "text": EVIL})
        answer = await one.post("/api/v1/events", sent, headers=STRUCTURED)
        assert answer.status_code == 202, answer.text
        event = answer.json()["events"][0]
        run = await started(one, "words", tags=["<b>t</b>"], by=EVIL)
        detail = (await one.http.get(f"/api/v1/runs/{run}")).json()
        outputs = [made["output"]["digest"] for made in detail["stages"]]
        artifacts = [f"/runs/{run}/artifacts/{digest}" for digest in outputs]
        own = f"/runs/{event['runs'][0]}"
        pages = ("/", "/runs", "/events", f"/events/{event['key']}", f"/runs/{run}", own, f"{own}/logs", *artifacts)
        for path in pages:
            page = await look(one, path)
            assert "<img src=x" not in page, path
            assert "<b>t" not in page, path
        assert EVIL in text_of(await look(one, f"/events/{event['key']}"))
        assert '"told": "<img src=x' in text_of(await look(one, artifacts[0]))
        assert "no preview" in text_of(await look(one, artifacts[1]))
        await look(one, f"/runs/{run}/artifacts/{'0' * 64}", 404)


async def test_an_event_tells_its_fate_hides_secrets_and_runs_again(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        sent = cloudevent("once", "sum", data={"factor": 3, "note": f"by {SECRET}", "password": "hunter22"})
        event = (await one.post("/api/v1/events", sent, headers=STRUCTURED)).json()["events"][0]
        await reached(one.daemon, event["runs"][0])
        page = await look(one, f"/events/{event['key']}")
        told = text_of(page)
        assert f"#{event['runs'][0]}" in told
        assert SECRET not in told
        assert "hunter22" not in told
        assert '"factor": 3' in told
        action = f"/act/events/{event['key']}/replay"
        fields = {**form_of(page, action), "by": "kim", "pipeline": "sums", "effects": "no", "anew": "yes"}
        answer = await send(one, action, fields)
        again = int(answer.headers["location"].rpartition("/")[2])
        twice = await send(one, action, fields)
        assert twice.headers["location"] == answer.headers["location"], "sent twice, run once"
        await reached(one.daemon, again)
        shown = (await one.http.get(f"/api/v1/runs/{again}")).json()
        assert (shown["replay"]["shadow"], shown["replay"]["by"]) == (True, "kim")
        assert "in shadow" in text_of(await look(one, f"/events/{event['key']}"))
        ignored = (await one.post("/api/v1/events", cloudevent("x", "other"), headers=STRUCTURED)).json()["events"][0]
        assert "ignored" in text_of(await look(one, f"/events/{ignored['key']}"))
        assert "once" not in text_of(await look(one, "/events?fate=ignored"))
        explained = text_of(await look(one, f"/events/{ignored['key']}/explain"))
        assert "New, it would start nothing" in explained
        assert "type is 'other'" in explained or "type is" in explained
        assert "would start 1 run" in text_of(await look(one, f"/events/{event['key']}/explain"))
        await look(one, "/events/none", 404)
        await look(one, "/events/none/explain", 404)
        await look(one, "/events?fate=none", 422)


async def test_logs_are_paged_and_say_where_to_follow(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("sums")
        await one.daemon.writer.drained()
        page = await look(one, f"/runs/{run}/logs")
        assert "doubling 42" in text_of(page)
        assert f'data-follow="/api/v1/runs/{run}/logs?follow=true' in page
        assert "doubling" not in text_of(await look(one, f"/runs/{run}/logs?stage=add"))
