"""A person decides a gate over HTTP: once, as an event, in one transaction with the decision."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from service.model import RunState
from service.settings import Role
from stages.base import stage
from stages.gates import approved
from stages.pipeline import Pipeline
from tests.db.api import PIPELINES, Api, add, api, problem
from tests.db.daemons import reached
from tests.db.writing import rows


async def decide(one: Api, run: int, verb: str, by: str = "ann", gate: str = "add-double", **more: Any) -> Any:
    return await one.post(f"/api/v1/runs/{run}/gates/{gate}/{verb}", {"by": by, **more})


def told(found: Any) -> str:
    return f"{found['state']} by {found['decided_by']}"


async def test_an_approved_run_goes_on_and_the_approval_starts_what_listens_for_it(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        waiting = (await one.http.get(f"/api/v1/runs/{run}")).json()
        answer = await decide(one, run, "approve", reason="good")
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
        again = await decide(one, run, "approve", reason="good")
        shown = (await one.http.get(f"/api/v1/runs/{run}")).json()
    assert waiting["waits_for"] == "somebody to decide gate add-double"
    assert waiting["next_command"] == f"tidemill approve {run} add-double --by NAME"
    assert waiting["gates"][0]["decided_by"] is None
    [follower] = await rows(database, "select id, event_key from runs where pipeline = 'follows'")
    assert answer.status_code == again.status_code == 200
    assert answer.json() == again.json()
    assert answer.json() == {
        "run": run,
        "gate": "add-double",
        "state": "passed",
        "decided_by": "ann",
        "reason": "good",
        "subject": waiting["gates"][0]["subject"],
        "note": "no groups are set (TIDEMILL_GROUPS), so anybody may decide for leads",
        "runs": [follower["id"]],
    }
    [gate] = shown["gates"]
    assert (gate["state"], gate["decided_by"], gate["reason"]) == ("passed", "ann", "good")
    assert gate["evidence"]["votes"] == [{"by": "ann", "decision": "approved", "role": None}]
    assert [vote["event"] for vote in gate["votes"]] == [str(follower["event_key"])]
    assert [told(one) for one in gate["history"]] == ["waiting by approved", "passed by ann"]


async def test_a_rejected_run_fails_and_may_be_resumed_to_wait_again(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        answer = await decide(one, run, "reject", reason="worse")
        assert await reached(one.daemon, run) is RunState.FAILED
        await one.post(f"/api/v1/runs/{run}/resume")
        assert await reached(one.daemon, run, RunState.WAITING) is RunState.WAITING
        assert (await decide(one, run, "approve")).status_code == 200
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
    assert (answer.json()["state"], answer.json()["runs"]) == ("failed", [])


async def test_of_many_who_decide_at_once_one_does_and_only_its_event_is_kept(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        people = [("approve", f"p{n}") for n in range(5)] + [("reject", f"r{n}") for n in range(5)]
        answers = await asyncio.gather(*(decide(one, run, verb, by) for verb, by in people))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
        refused = next(answer for answer in answers if answer.status_code == 409)
        winner = next(answer for answer in answers if answer.status_code == 200).json()
        assert winner["decided_by"] in problem(refused, 409)
        assert refused.json()["decided_by"] == winner["decided_by"]
    decided = await rows(database, "select type from events where source = 'tidemill:approvals'")
    assert len(decided) == 1
    assert len(await rows(database, "select from runs where pipeline = 'follows'")) == (winner["state"] == "passed")


async def test_a_decision_says_who_and_about_which_gate(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        path = f"/api/v1/runs/{run}/gates/add-double/approve"
        assert problem(await one.post(path), 422).startswith("by:")
        assert problem(await one.post(path, {"by": " "}), 422).startswith("by:")
        assert problem(await one.post(path, {"by": "a\u0000b"}), 422).startswith("by:")
        assert "its gates: add-double" in problem(await decide(one, run, "approve", gate="deploy"), 404)
        problem(await decide(one, run + 9, "approve"), 404)
        await one.post(f"/api/v1/runs/{run}/cancel")
        assert "cancelled" in problem(await decide(one, run, "approve"), 409)
        assert await rows(database, "select from events where source = 'tidemill:approvals'") == []


async def test_a_gate_waits_for_nobody_once_its_run_has_ended_and_again_when_that_goes_on(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        await one.post(f"/api/v1/runs/{run}/cancel")
        refused = await decide(one, run, "approve")
        assert "nothing passes its gates" in problem(refused, 409)
        assert refused.json()["state"] == "cancelled"
        found = (await one.http.get(f"/api/v1/runs/{run}")).json()
        assert [(gate["state"], gate["expires_at"]) for gate in found["gates"]] == [("cancelled", None)]
        assert found["waiting_gates"] == []
        await one.post(f"/api/v1/runs/{run}/resume")
        await reached(one.daemon, run, RunState.WAITING)
        found = (await one.http.get(f"/api/v1/runs/{run}")).json()
        assert [gate["state"] for gate in found["gates"]] == ["waiting"]
        assert (await decide(one, run, "approve")).status_code == 200


@stage(reuse="run")
async def last(add: int) -> int:
    return add


two_gates = Pipeline("two", [add, last], gates={("add", "last"): [approved(name="lead"), approved(name="owner")]})


async def test_a_stage_names_its_gate_where_only_one_waits_before_it(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API, Role.EXECUTOR, pipelines=(*PIPELINES, two_gates)) as one:
        run = await one.start("two", RunState.WAITING)
        several = problem(await decide(one, run, "approve", gate="last"), 409)
        assert "add-last-lead, add-last-owner" in several
        assert (await decide(one, run, "approve", gate="add-last-lead")).status_code == 200
        assert await reached(one.daemon, run, RunState.WAITING) is RunState.WAITING
        assert (await decide(one, run, "approve", gate="last")).json()["gate"] == "add-last-owner"
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
