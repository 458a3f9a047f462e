"""What needs a person, in the console: it is shown whole, and decided exactly as by API or command line."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from service.model import RunState
from stages.base import StageContext, stage
from stages.errors import Permanent
from stages.gates import approved, metrics_above
from stages.pipeline import Pipeline
from tests.db.api import PIPELINES, Api, api
from tests.db.console import form_of, look, send, text_of
from tests.db.daemons import reached
from tests.db.writing import rows
from triggers.event import Event

EVIL = "<img src=x onerror=alert(1)>\"'"


@stage
async def measure(event: Event, ctx: StageContext) -> int:
    ctx.record_metrics(r2=0.81)
    return 7


@stage(reuse="run")
async def ship(measure: int) -> int:
    return measure


class Wishes(BaseModel):
    """What `fails` is told."""

    word: str = EVIL


@stage(reuse="run")
async def fails(params: Wishes) -> int:
    raise Permanent(f"cannot {params.word}")


@stage(reuse="run")
async def extra(measure: int) -> int:
    raise Permanent("nobody needs it")


@stage(reuse="run")
async def last(measure: int, extra: int | None) -> int:
    return measure


listed = Pipeline("listed", [measure, ship], gates={("measure", "ship"): approved(by=["ann", "bob"])})
judged = Pipeline(
    "judged",
    [measure, ship],
    gates={("measure", "ship"): [metrics_above(r2=0.5), approved(name="people", by="leads", n=2)]},
)
evil = Pipeline("evil", [fails])
lean = Pipeline("lean", [measure, extra, last])
ALL = (*PIPELINES, judged, listed, evil, lean)


async def decide(one: Api, run: int, gate: str, decision: str, **fields: str) -> str:
    """Decide in the console, and return what the next page says."""
    action = f"/act/runs/{run}/gates/{gate}"
    form = form_of(await look(one, "/reviews"), action)
    answer = await send(one, action, {**form, "decision": decision, **fields})
    assert answer.status_code == 303, text_of(answer.text)
    return text_of(await look(one, answer.headers["location"]))


async def test_approving_in_the_console_moves_the_run_and_is_the_same_event(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        said = await decide(one, run, "add-double", "approve", by="ann", reason="looks good")
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
        assert f"ann has approved gate add-double of run {run}: it is passed" in said
        assert "No gate waits." in said
        shown = (await one.http.get(f"/api/v1/runs/{run}")).json()
        again = await one.post(f"/api/v1/runs/{run}/gates/add-double/approve", {"by": "ann"})
        [gate] = shown["gates"]
        told = text_of(await look(one, f"/events/{gate['votes'][0]['event']}"))
        assert f"It decided gate add-double of gated #{run} : approved by ann." in told
    assert (gate["decided_by"], gate["reason"]) == ("ann", "looks good")
    [event] = await rows(database, "select key, envelope from events where source = 'tidemill:approvals'")
    assert gate["votes"][0]["event"] == str(event["key"])
    assert again.status_code == 200, "the same decision by another way"
    [follower] = await rows(database, "select event_key from runs where pipeline = 'follows'")
    assert follower["event_key"] == event["key"]


async def test_rejecting_fails_the_run_and_who_is_remembered(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        said = await decide(one, run, "add-double", "reject", by="ann", reason="worse")
        assert await reached(one.daemon, run) is RunState.FAILED
        assert f"ann has rejected gate add-double of run {run}: it is failed" in said
        page = await look(one, "/reviews")
    assert 'name="by" maxlength="200" required value="ann"' in page
    assert "rejected" in text_of(page)


async def test_the_grounds_are_shown_with_who_may_and_who_has(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=ALL, groups="leads=ann+kim") as one:
        run = await one.start("judged", RunState.WAITING)
        gate = (await one.http.get(f"/api/v1/runs/{run}")).json()["waiting_gates"][0]
        before = await look(one, "/reviews")
        assert "more people must approve" in await decide(one, run, gate, "approve", by="ann", reason=EVIL)
        after = await look(one, "/reviews")
        action = f"/act/runs/{run}/gates/{gate}"
        refused = await send(one, action, {**form_of(after, action), "decision": "approve", "by": "sam"})
        nobody = await send(one, action, {**form_of(after, action), "decision": "approve", "by": " "})
        neither = await send(one, action, {**form_of(after, action), "decision": "", "by": "kim"})
        await decide(one, run, gate, "approve", by="kim")
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
    told = text_of(before)
    assert "r2 0.81 threshold 0.5" in told
    assert "leads (ann, kim) ; 2 must approve" in told
    assert 'aria-label="0.81, threshold 0.5"' in before
    assert "approved by ann as leads" in text_of(after)
    assert EVIL not in after
    assert (refused.status_code, nobody.status_code, neither.status_code) == (403, 422, 422)
    assert "sam may not decide" in text_of(refused.text)


async def test_who_is_named_needs_no_group(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=ALL) as one:
        run = await one.start("listed", RunState.WAITING)
        for path in ("/reviews", f"/runs/{run}"):
            told = text_of(await look(one, path))
            assert "ann, bob" in told
            assert "so anybody" not in told
        role = text_of(await look(one, f"/runs/{await one.start('gated', RunState.WAITING)}"))
        assert "leads (no groups are set, so anybody)" in role


async def test_a_decision_is_about_what_the_page_showed(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        action = f"/act/runs/{run}/gates/add-double"
        form = form_of(await look(one, "/reviews"), action)
        answer = await send(one, action, {**form, "subject": "0" * 64, "decision": "approve", "by": "ann"})
        assert answer.status_code == 409
        assert "look at the run again" in text_of(answer.text)
        assert "1" in text_of(await look(one, "/")), "it still waits"


async def test_a_failed_run_is_resumed_after_seeing_what_that_does(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=ALL) as one:
        run = await one.start("lean")
        page = await look(one, f"/runs/{run}/resume")
        told = text_of(page)
        assert "measure ✓ kept" in told
        assert "extra ▶ run" in told or "extra ↻ made again" in told
        anew = await look(one, f"/runs/{run}/resume?from=measure")
        assert "measure ↻ made again" in text_of(anew)
        action = f"/act/runs/{run}/resume"
        answer = await send(one, action, {**form_of(page, action), "by": "kim"})
        assert answer.headers["location"] == f"/runs/{run}"
        await reached(one.daemon, run)
        actions = (await one.http.get(f"/api/v1/runs/{run}")).json()["actions"]
        await look(one, f"/runs/{await one.start('sums')}/resume", 409)
        await look(one, f"/runs/{run}/resume?from=nothing", 422)
    assert [(each["action"], each["by"]) for each in actions] == [("resumed", "kim")]


async def test_what_people_did_is_told_in_words_and_in_its_order(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=ALL) as one:
        run = await one.start("gated", RunState.WAITING)
        gate = f"/api/v1/runs/{run}/gates/add-double"
        assert "What people did Nothing." in text_of(await look(one, f"/runs/{run}"))
        await one.post(f"{gate}/reject", {"by": "ann", "reason": "far too early"})
        await reached(one.daemon, run)
        assert text_of(await look(one, f"/runs/{run}")).count("far too early") == 3, "why it failed, the vote, the deed"
        assert (await one.post(f"/api/v1/runs/{run}/resume", {"by": "kim", "from": "add"})).status_code == 202
        await reached(one.daemon, run, RunState.WAITING)
        assert (await one.post(f"{gate}/approve", {"by": "lee", "reason": "now it is"})).status_code == 200
        await reached(one.daemon, run)
        told = text_of(await look(one, f"/runs/{run}")).partition("What people did")[2]
        report = text_of((await one.http.get(f"/api/v1/runs/{run}/report.html")).text)
    assert "{" not in told
    parts = [
        told.index("ann rejected gate add-double: far too early"),
        told.index("kim resumed it from add; add again"),
        told.index("lee approved gate add-double: now it is"),
    ]
    assert parts == sorted(parts)
    assert "kim resumed it from add; add again" in report


async def test_a_stage_that_nothing_needs_is_passed_over(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=ALL) as one:
        run = await one.start("lean")
        action = f"/act/runs/{run}/skip"
        form = form_of(await look(one, "/reviews"), action)
        assert form_of(await look(one, f"/runs/{run}"), action) == form
        assert (await send(one, action, {**form, "by": "kim", "reason": ""})).status_code == 422
        assert (await send(one, action, {**form, "by": "kim", "reason": "not today"})).status_code == 303
        assert await reached(one.daemon, run) is RunState.SUCCEEDED


async def test_what_users_write_is_text(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=ALL) as one:
        run = await one.start("evil")
        page = await look(one, "/reviews")
        resume = await look(one, f"/runs/{run}/resume")
    for shown in (page, resume):
        assert EVIL not in shown
        assert "<img src=x" not in shown
    assert f"cannot {EVIL}" in text_of(page)


async def test_queues_are_paged_by_key(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        waiting = [await one.start("gated", RunState.WAITING, factor=factor) for factor in range(22)]
        first = await look(one, "/reviews")
        found = f"/reviews?run={waiting[2]}&amp;gate=add-double"
        assert found in first
        second = await look(one, found.replace("&amp;", "&"))
        assert [f"gated #{run} " in text_of(first) for run in waiting[:3]] == [False, False, True]
        assert [f"gated #{run} " in text_of(second) for run in waiting[:3]] == [True, True, False]
