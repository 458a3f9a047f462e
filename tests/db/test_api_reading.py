"""Runs as data over HTTP: explained, compared, reported, reviewed, tagged, and cleaned up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
from pydantic import BaseModel

from service.client import ApiError
from service.model import RunState
from service.report_page import HEADERS
from service.settings import Retention, Role
from stages import Pipeline, StageContext, stage
from stages.errors import Permanent
from stages.gates import approved
from stages.registry import NewVersion
from tests.db.api import api, problem
from tests.db.daemons import reached
from tests.db.writing import rows


class GrainParams(BaseModel):
    """What the mill grinds."""

    rows: int = 3
    fail: str = ""


@stage
async def grow(params: GrainParams) -> list[int]:
    return list(range(params.rows))


@stage
async def grind(grow: list[int], ctx: StageContext) -> int:
    ctx.record_metrics(total=sum(grow))
    return sum(grow)


@stage(reuse="run")
async def bake(grind: int | None, params: GrainParams, ctx: StageContext) -> int:
    if params.fail:
        raise Permanent(f"{params.fail} <b>")
    new = NewVersion(model="bread", artifacts={"model": ctx.artifact_digests["grind"]}, run_id=ctx.run_id)
    assert ctx.registry is not None
    return (await ctx.registry.register(new, idempotency_key=ctx.idempotency_key)).version


bakery = Pipeline("bakery", [grow, grind, bake])
asked = Pipeline("asked", [grow, grind], gates={("grow", "grind"): approved(by="kim")})
PIPELINES = (bakery, asked)


async def test_explain_follows_a_changed_parameter_down_the_graph(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        first, second, third = [await one.start("bakery", rows=rows) for rows in (3, 4, 4)]
        alone = await one.call(one.client.explain, first)
        changed = await one.call(one.client.explain, second)
        again = await one.call(one.client.explain, third, "grow")
        chosen = await one.call(one.client.explain, third, None, first)
        for refused in (f"{third}/explain?stage=x", "99/explain", f"{third}/explain?with=99"):
            problem(await one.http.get(f"/api/v1/runs/{refused}"), 404)
        other = await one.start("asked", RunState.WAITING)
        assert "not of bakery" in problem(await one.http.get(f"/api/v1/runs/{first}/explain?with={other}"), 422)
        problem(await one.http.get(f"/api/v1/runs/{first}/explain?since=1"), 422)
    assert alone["since"] is None
    told = {each["stage"]: each["told"] for each in changed["stages"]}
    assert changed["since"] == first
    assert told["grow"] == "computed, since parameter rows changed from 3 to 4"
    assert "since in grow parameter rows changed from 3 to 4" in told["grind"]
    assert told["bake"].startswith("computed, since parameter rows changed")
    [grown] = again["stages"]
    assert (grown["result"], grown["reused_run"], grown["changes"]) == ("reused", second, [])
    assert chosen["since"] == first
    assert [change["component"] for change in chosen["stages"][0]["changes"]] == ["params"]


async def test_two_runs_are_compared(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        first, second = await one.start("bakery", rows=3), await one.start("bakery", rows=5)
        found = await one.call(one.client.diff, first, second)
        problem(await one.http.get(f"/api/v1/runs/{first}/diff/99"), 404)
    assert found["params"] == [{"name": "rows", "a": 3, "b": 5}]
    grind = found["stages"][1]
    assert grind["metrics"] == [{"name": "total", "a": 3.0, "b": 10.0, "change": 7.0}]
    assert (grind["same_output"], grind["code"]) == (False, True)
    assert found["code"] == []


async def test_a_report_is_the_whole_record_and_its_page_is_safe(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        body = {"params": {"rows": 3}, "by": "kim <i>", "tags": ["nightly"]}
        answer = await one.post("/api/v1/pipelines/bakery/runs", body)
        run = answer.json()["events"][0]["runs"][0]
        await reached(one.daemon, run)
        told = await one.call(one.client.report, run)
        page = await one.http.get(f"/api/v1/runs/{run}/report.html")
        assert await one.call(one.client.report_page, run) != ""
        with pytest.raises(ApiError, match="there is no run"):
            await one.call(one.client.report_page, 99)
    assert (told["asked_by"], told["state"], [each["model"] for each in told["models"]]) == (
        "kim <i>",
        "succeeded",
        ["bread"],
    )
    assert all(len(each["code_digest"]) == 64 for each in told["code"])
    assert told["stages"][2]["inputs"][0]["digest"] == told["stages"][1]["output"]["digest"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for name, value in HEADERS.items():
        assert page.headers[name] == value
    assert "kim &lt;i&gt;" in page.text
    assert "kim <i>" not in page.text


async def test_a_report_names_who_approved(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        run = await one.start("asked", RunState.WAITING)
        await one.call(one.client.decide, run, "grow-grind", "approve", "kim", "good grain")
        await reached(one.daemon, run)
        told = await one.call(one.client.report, run)
    assert [(each["gate"], each["by"], each["decision"]) for each in told["approvals"]] == [
        ("grow-grind", "kim", "approved")
    ]


async def test_what_a_run_caused_and_was_caused_by_is_told(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        parent, child, follower = [await one.start("bakery", rows=rows) for rows in (1, 2, 3)]
        await rows(
            database,
            "update runs set cause_run = $2, parent_run = $2, cause_stage = 'bake' where id = $1",
            child,
            parent,
        )
        await rows(database, "update runs set cause_run = $2, cause_stage = 'grow' where id = $1", follower, parent)
        above, below = await one.call(one.client.report, parent), await one.call(one.client.report, child)
    assert [(each["run"], each["stage"], each["waited_for"]) for each in above["caused"]] == [
        (child, "bake", True),
        (follower, "grow", False),
    ]
    assert (below["cause_run"], below["parent_run"], below["caused"]) == (parent, parent, [])


async def test_failed_runs_wait_for_a_person_with_the_commands_that_apply(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        bad = [await one.start("bakery", fail=f"burnt {number}") for number in range(3)]
        await one.start("bakery")
        first = await one.call(one.client.reviews, limit=2)
        second = await one.call(one.client.reviews, limit=2, before=first["next"])
        none = await one.call(one.client.reviews, pipeline="asked")
        listed = await one.call(one.client.runs, limit=1)
        await rows(database, "update runs set abandoned_at = now() where id = $1", bad[0])
        after = await one.call(one.client.reviews)
        gauge = (await one.http.get("/metrics")).text
        problem(await one.http.get("/api/v1/reviews?pipelin=x"), 422)
        for path in ("runs?state=failed&state=cancelled", "runs?state=&state=failed", "events?limit=1&limit=2"):
            told = problem(await one.http.get(f"/api/v1/{path}"), 422)
            assert (
                told == f"{path.partition('?')[2].partition('=')[0]} is given 2 times, and this address takes it once"
            )
        assert (await one.http.get("/api/v1/runs?tag=a&tag=b")).status_code == 200
    told = first["reviews"][0]
    assert [each["run"] for each in first["reviews"] + second["reviews"]] == bad[::-1]
    assert (first["open"], listed["reviews_open"], second["next"], none["reviews"]) == (3, 3, None, [])
    assert (told["kind"], told["name"], told["error"]["message"]) == ("stage", "bake", "burnt 2 <b>")
    assert [each["stage"] for each in told["inputs"]] == ["grind"]
    commands = [each["command"] for each in told["commands"]]
    assert commands == [
        f"tidemill resume {bad[2]}",
        f"tidemill resume {bad[2]} --from grind",
        f"tidemill resume {bad[2]} --with-param NAME=VALUE",
        f"tidemill skip {bad[2]} bake --reason WHY",
        f"tidemill abandon {bad[2]} --reason WHY",
    ]
    assert [each["run"] for each in after["reviews"]] == [bad[2], bad[1]]
    assert "tidemill_reviews_open 2\n" in gauge


async def test_the_graph_says_what_may_be_skipped(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=PIPELINES) as one:
        told = await one.call(one.client.pipeline, "bakery")
    assert {each["name"]: each["optional"] for each in told["stages"]} == {"grow": [], "grind": [], "bake": ["grind"]}
    assert [each["takes_params"] for each in told["stages"]] == [True, False, True]


async def test_tags_given_by_hand_are_in_the_event_and_runs_are_found_by_theirs(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, pipelines=PIPELINES) as one:
        answer = await one.call(one.client.run, "bakery", event_id="1", tags=["a", "b", "a"])
        event = await one.call(one.client.event, "1")
        plain = await one.call(one.client.run, "bakery", event_id="2")
        with pytest.raises(ApiError, match="other params or data or tags"):
            await one.call(one.client.run, "bakery", event_id="2", tags=["a"])
        run, other = answer["events"][0]["runs"][0], plain["events"][0]["runs"][0]
        await rows(database, "update runs set tags = $2 where id = $1", run, '["a", "b"]')
        await rows(database, "update runs set tags = $2 where id = $1", other, '["a"]')
        found = [
            [each["id"] for each in (await one.call(one.client.runs, tags=tags))["runs"]]
            for tags in (["a"], ["a", "b"], ["c"], [])
        ]
        problem(await one.post("/api/v1/pipelines/bakery/runs", {"tags": [""]}), 422)
        shown = await one.call(one.client.show, run)
    assert event["cloudevent"]["data"]["tags"] == ["a", "b"]
    assert found == [[other, run], [run], [], [other, run]]
    assert shown["tags"] == ["a", "b"]


async def test_a_clean_up_only_tells_unless_it_is_told_to(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        run = await one.start("asked", RunState.WAITING)
        old = await one.start("bakery", fail="burnt")
        await rows(
            database, "update runs set abandoned_at = now(), finished_at = now() - interval '9 days' where id = $1", old
        )
        nothing = await one.call(one.client.clean_up)
        plan = await one.call(one.client.clean_up, days=7)
        problem(await one.post("/api/v1/retention", {"days": -1}), 422)
        assert len(await rows(database, "select from runs")) == 2
        done = await one.call(one.client.clean_up, days=7, dry_run=False, by="kim")
        problem(await one.http.get(f"/api/v1/runs/{old}"), 404)
        assert (await one.http.get(f"/api/v1/runs/{run}")).status_code == 200
    assert (nothing["dry_run"], nothing["pipelines"]) == (True, [])
    assert [each["runs"] for each in plan["pipelines"]] == [each["runs"] for each in done["pipelines"]] == [1]


async def test_a_daemon_cleans_up_by_itself_where_it_is_told_what_goes(database: str, tmp_path: Path) -> None:
    from dataclasses import replace

    from tests.db.daemons import daemon, settings, start

    async with api(database, tmp_path, pipelines=PIPELINES) as one:
        await one.start("asked", RunState.WAITING)
        await one.call(one.client.cancel, 1)
        await rows(database, "update runs set finished_at = now() - interval '9 days'")
    given = replace(settings(database, tmp_path), retention=Retention(days=7, every_s=0.01))
    async with daemon(given, *PIPELINES) as tidy, asyncio.timeout(10):
        seen = tidy.news.count
        while await rows(database, "select from runs"):
            await tidy.news.changed(seen)
            seen = tidy.news.count
        assert await start(tidy, "bakery", "later") > 1
    entries = [
        entry for row in await rows(database, "select entries from run_log") for entry in orjson.loads(row["entries"])
    ]
    assert [entry["by"] for entry in entries if entry["move"] == "cleaned"] == ["retention"]
