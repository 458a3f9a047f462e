"""Several people, groups, artifacts and time at a gate, over HTTP and on a real database."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.client import ApiError
from service.db.claims import Claim
from service.db.runs import PutGate
from service.db.votes import DecideGate, ExpireGate, Taken
from service.errors import RunLost
from service.model import GateState, RunState
from stages.artifacts import digest_of
from stages.base import StageContext, stage
from stages.errors import Permanent
from stages.gates import GateResult, approved, metrics_above, production
from stages.pipeline import Pipeline
from stages.registry import NewVersion
from tests.db.api import Api, add, api, hold, holds, problem
from tests.db.daemons import reached
from tests.db.writing import accept, rows, writing
from triggers.approval import Approval
from triggers.event import Event

GROUPS = "leads=kim+lee,ops=sam"
drawn: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def draw_anew() -> None:
    drawn.clear()


@stage(reuse="run")
async def draw(event: Event) -> int:
    """Another artifact each time it runs."""
    drawn["draw"] += 1
    return drawn["draw"]


@stage(reuse="run")
async def use(draw: int) -> int:
    if draw == 1:
        raise Permanent("the first is no good")
    return draw


@stage(reuse="run")
async def double(add: int) -> int:
    return add * 2


@stage(reuse="run")
async def join(double: int, holds: int) -> int:
    return double + holds


@stage(reuse="run")
async def train(event: Event, context: StageContext) -> int:
    context.record_metrics(r2=0.7)
    return 1


@stage(reuse="run")
async def publish(train: int) -> int:
    return train


@stage(reuse="run")
async def keep(draw: int) -> int:
    return draw


def unlucky(output: int) -> GateResult:
    """Fails the first time, with more evidence than a row should hold."""
    drawn["unlucky"] += 1
    return GateResult.of(drawn["unlucky"] > 1, "unlucky", {"rows": ["x" * 100] * 5_000, "try": drawn["unlucky"]})


pair = Pipeline("pair", [draw, use], gates={("draw", "use"): approved(by=["leads", "ann"], n=2)})
heard = Pipeline("heard", [add], on=[Approval(pipeline="pair", decision=None)])
every = Pipeline(
    "every", [add], on=[Approval(pipeline="pair", decision=None, where={"data.decided": [True, False]}, name="every")]
)
spaced = Pipeline("spaced", [add, double], gates={("add", "double"): approved(by=["ann", "bob "], n=2)})
timed = Pipeline("timed", [add, double], gates={("add", "double"): approved(expires_s=3600)})
branched = Pipeline("branched", [add, holds, double, join], gates={("add", "double"): approved(expires_s=3600)})
compared = Pipeline(
    "compared", [train, publish], gates={("train", "publish"): metrics_above(r2=production("line") - 0.01)}
)
tried = Pipeline("tried", [draw, keep], gates={("draw", "keep"): unlucky})
MILL = (pair, heard, every, spaced, timed, branched, compared, tried)


async def vote(one: Api, run: int, verb: str, by: str, gate: str = "draw-use", **more: Any) -> Any:
    return await one.post(f"/api/v1/runs/{run}/gates/{gate}/{verb}", {"by": by, **more})


async def shown(one: Api, run: int, place: int = 0) -> Any:
    return (await one.http.get(f"/api/v1/runs/{run}")).json()["gates"][place]


async def over(database: str, run: int) -> None:
    """The time of a waiting gate is over; the run is woken as it would have been."""
    await rows(database, "update gates set expires_at = now() where run_id = $1", run)
    await rows(database, "update runs set ready_at = now() where id = $1 and state = 'waiting'", run)
    await rows(database, "select pg_notify('tidemill_wake', '')")


# Quorum and groups.


async def test_two_different_people_must_approve_and_each_vote_is_an_event(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=MILL, groups=GROUPS) as one:
        run = await one.start("pair", RunState.WAITING)
        first = await vote(one, run, "approve", "kim", reason="good")
        again = await vote(one, run, "approve", "kim", reason="very good")
        halfway = await shown(one, run)
        assert "kim has approved" in problem(await vote(one, run, "reject", "kim"), 409)
        second = await vote(one, run, "approve", "ann")
        await reached(one.daemon, run)
        gate = await shown(one, run)
    assert first.json() == again.json()
    assert (first.json()["state"], first.json()["reason"]) == ("waiting", "1 of 2 approved: kim")
    assert halfway["state"] == "waiting"
    assert [(told["by"], told["role"], told["reason"]) for told in halfway["votes"]] == [("kim", "leads", "good")]
    assert (second.json()["state"], second.json()["decided_by"]) == ("passed", "kim, ann")
    assert (gate["state"], gate["decided_by"], gate["reason"]) == ("passed", "kim, ann", "approved by kim, ann")
    assert [(told["by"], told["role"]) for told in gate["votes"]] == [("kim", "leads"), ("ann", "ann")]
    assert [(told["state"], told["decided_by"]) for told in gate["history"]] == [
        ("waiting", "approved"), ("waiting", "kim"), ("passed", "kim, ann"),
    ]  # fmt: skip
    assert gate["evidence"]["by"] == ["leads", "ann"]
    events = await rows(database, "select key, id from events where source = 'tidemill:approvals' order by seq")
    assert [str(event["key"]) for event in events] == [told["event"] for told in gate["votes"]]
    assert events[0]["id"] == f"{events[1]['id']}/kim"
    followed = await rows(database, "select pipeline, event_key from runs where pipeline in ('heard', 'every')")
    assert Counter((row["pipeline"], row["event_key"]) for row in followed) == Counter(
        {("heard", events[1]["key"]): 1, ("every", events[0]["key"]): 1, ("every", events[1]["key"]): 1}
    )


async def test_one_rejection_fails_the_gate_and_asking_again_begins_without_votes(
    database: str, tmp_path: Path
) -> None:
    async with api(database, tmp_path, pipelines=MILL, groups=GROUPS) as one:
        run = await one.start("pair", RunState.WAITING)
        await vote(one, run, "approve", "kim")
        rejected = await vote(one, run, "reject", "lee", reason="worse")
        assert await reached(one.daemon, run) is RunState.FAILED
        await one.post(f"/api/v1/runs/{run}/resume")
        assert await reached(one.daemon, run, RunState.WAITING) is RunState.WAITING
        asked = await shown(one, run)
        halfway = await vote(one, run, "approve", "lee")
        passed = await vote(one, run, "approve", "kim")
        await reached(one.daemon, run)
        gate = await shown(one, run)
    assert (rejected.json()["state"], rejected.json()["decided_by"]) == ("failed", "lee")
    assert (asked["state"], asked["votes"]) == ("waiting", [])
    assert (halfway.json()["state"], passed.json()["state"]) == ("waiting", "passed")
    assert [told["state"] for told in gate["history"]] == [
        "waiting", "waiting", "failed", "waiting", "waiting", "passed",
    ]  # fmt: skip
    [follower] = await rows(database, "select event_key from runs where pipeline = 'heard' order by id desc limit 1")
    assert str(follower["event_key"]) == gate["votes"][-1]["event"]


async def test_without_groups_a_list_lets_those_it_names_and_nobody_else(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=MILL) as one:
        run = await one.start("pair", RunState.WAITING)
        refused = await vote(one, run, "approve", "kim")
        assert problem(refused, 403).endswith(
            "who may: leads (a person: there is no group of that name in TIDEMILL_GROUPS); "
            "ann (a person: there is no group of that name in TIDEMILL_GROUPS)"
        )
        assert refused.json()["who_may"] == ["leads", "ann"]
        assert problem(await vote(one, run, "reject", "kim"), 403)
        assert (await vote(one, run, "approve", "ann")).json()["state"] == "waiting"
        last = (await vote(one, run, "approve", "leads")).json()
        assert (last["state"], last["note"]) == ("passed", "")


async def test_a_name_that_is_declared_with_a_space_may_vote(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=MILL) as one:
        run = await one.start("spaced", RunState.WAITING)
        for name in ("ann", "bob"):
            assert (await vote(one, run, "approve", name, "add-double")).status_code == 200
        assert await reached(one.daemon, run) is RunState.SUCCEEDED


async def test_of_many_who_vote_at_once_no_more_count_than_are_needed(database: str, tmp_path: Path) -> None:
    groups = "leads=" + "+".join(f"p{n}" for n in range(8))
    async with api(database, tmp_path, pipelines=MILL, groups=groups) as one:
        run = await one.start("pair", RunState.WAITING)
        answers = await asyncio.gather(*(vote(one, run, "approve", f"p{n}") for n in range(8)))
    assert Counter(answer.status_code for answer in answers) == {200: 2, 409: 6}
    assert sorted(answer.json()["state"] for answer in answers if answer.status_code == 200) == ["passed", "waiting"]
    assert len(await rows(database, "select from gate_votes")) == 2
    assert len(await rows(database, "select from events where source = 'tidemill:approvals'")) == 2


async def test_only_who_is_named_or_in_a_named_group_decides(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=MILL, groups=GROUPS) as one:
        run = await one.start("pair", RunState.WAITING)
        for verb in ("approve", "reject"):
            refused = await vote(one, run, verb, "sam")
            assert "who may: leads (kim, lee); ann (a person" in problem(refused, 403)
            assert refused.json()["who_may"] == ["leads", "ann"]
        assert (await vote(one, run, "approve", "lee")).json()["note"] == ""
    assert [row["by"] for row in await rows(database, "select by from gate_votes")] == ["lee"]


# Artifacts.


async def test_votes_for_another_artifact_never_count(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=MILL, groups=GROUPS) as one:
        run = await one.start("pair", RunState.WAITING)
        for by in ("kim", "lee"):
            await vote(one, run, "approve", by)
        assert await reached(one.daemon, run) is RunState.FAILED
        before = await shown(one, run)
        await rows(database, "delete from attempts where run_id = $1", run)
        await one.post(f"/api/v1/runs/{run}/resume")
        assert await reached(one.daemon, run, RunState.WAITING) is RunState.WAITING
        asked = await shown(one, run)
        halfway = await vote(one, run, "approve", "kim")
        await vote(one, run, "approve", "lee")
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
    assert (before["subject"], asked["subject"]) == (digest_of(b"1"), digest_of(b"2"))
    assert (asked["state"], asked["votes"]) == ("waiting", [])
    assert halfway.json()["state"] == "waiting"
    kept = await rows(database, "select subject, count(*) as votes from gate_votes group by subject")
    assert {row["subject"]: row["votes"] for row in kept} == {digest_of(b"1"): 2, digest_of(b"2"): 2}


async def test_nobody_approves_what_they_have_not_seen(database: str, tmp_path: Path) -> None:
    subject = digest_of(b"1")
    async with api(database, tmp_path, pipelines=MILL, groups=GROUPS) as one:
        run = await one.start("pair", RunState.WAITING)
        stale = await vote(one, run, "approve", "kim", subject=digest_of(b"0"))
        assert f"asks about {subject[:12]}, not about {digest_of(b'0')[:12]}" in problem(stale, 409)
        assert stale.json()["subject"] == subject
        assert problem(await vote(one, run, "approve", "kim", subject=subject[:7]), 422).startswith("subject:")
        assert (await vote(one, run, "approve", "kim", subject=subject[:8])).json()["subject"] == subject
        answer = await one.call(one.client.decide, run, "use", "approve", "lee", "", subject)
        assert answer["state"] == "passed"
        with pytest.raises(ApiError, match="asks about"):
            await one.call(one.client.decide, run, "use", "approve", "lee", "", "0" * 64)


# Time.


async def test_a_gate_that_nobody_decides_in_its_time_fails(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=MILL) as one:
        run = await one.start("timed", RunState.WAITING)
        waiting = await shown(one, run)
        parked = await rows(
            database,
            "select r.ready_at - g.expires_at as apart, g.expires_at - g.decided_at as waits"
            " from runs r join gates g on g.run_id = r.id",
        )
        await over(database, run)
        assert await reached(one.daemon, run) is RunState.FAILED
        late = problem(await vote(one, run, "approve", "kim", "add-double"), 409)
        told = (await one.http.get(f"/api/v1/runs/{run}")).json()
        await one.post(f"/api/v1/runs/{run}/resume")
        await reached(one.daemon, run, RunState.WAITING)
        again = await shown(one, run)
        assert (await vote(one, run, "approve", "kim", "add-double")).status_code == 200
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
    assert waiting["expires_at"] is not None
    assert abs(parked[0]["apart"]) < timedelta(seconds=5)
    assert timedelta(seconds=3590) < parked[0]["waits"] < timedelta(seconds=3610)
    assert "it is failed by approved" in late
    assert told["failure"]["reason"] == "gate add-double: nobody decided within 3600 s"
    assert [one["state"] for one in told["gates"][0]["history"]] == ["waiting", "failed"]
    assert again["expires_at"] > waiting["expires_at"]


async def test_a_vote_is_refused_once_the_time_is_over_whoever_looks_first(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=MILL) as one:
        run = await one.start("timed", RunState.WAITING)
        await rows(database, "update gates set expires_at = now() where run_id = $1", run)
        assert "the time to decide" in problem(await vote(one, run, "approve", "kim", "add-double"), 409)
    assert await rows(database, "select from gate_votes") == []


async def test_a_vote_in_time_counts_though_its_run_looks_only_later(database: str, tmp_path: Path) -> None:
    hold.renew()
    async with api(database, tmp_path, pipelines=MILL) as one:
        run = await one.start("branched", RunState.RUNNING)
        await _until_asked(one, run)
        assert (await vote(one, run, "approve", "kim", "add-double")).status_code == 200
        await rows(database, "update gates set expires_at = now() where run_id = $1", run)
        _set_forward(one, hours=2)
        hold.released.set()
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
        gate = await shown(one, run)
    assert (gate["state"], gate["decided_by"]) == ("passed", "kim")
    assert [told["state"] for told in gate["history"]] == ["waiting", "passed"]


async def test_the_clock_of_the_database_says_whether_the_time_is_over(database: str, tmp_path: Path) -> None:
    hold.renew()
    async with api(database, tmp_path, pipelines=MILL) as one:
        run = await one.start("branched", RunState.RUNNING)
        await _until_asked(one, run)
        asked = await shown(one, run)
        _set_forward(one, hours=2)
        hold.released.set()
        assert await reached(one.daemon, run, RunState.WAITING) is RunState.WAITING
        gate = await shown(one, run)
        assert (await vote(one, run, "approve", "kim", "add-double")).status_code == 200
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
    assert (gate["state"], gate["expires_at"]) == ("waiting", asked["expires_at"])
    assert len(gate["history"]) == 1


async def test_of_a_vote_and_the_end_of_its_time_the_first_decides(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("1", "a"), accept("2", "a"))
        found: list[Any] = []
        await writer.submit(Claim({"a": "v1"}, lambda: 2, lambda limit, rows, next_s: found.extend(rows)))
        for run in found:
            asked = (
                run["id"],
                "a",
                run["epoch"],
                "s-t",
                "s",
                "t",
                GateState.WAITING,
                "asked",
                {},
                "d" * 64,
                "approved",
            )
            await writer.submit(PutGate(*asked, expires_s=3600))
        voted, late = [(run["id"], "a") for run in found]
        over = [ExpireGate(*run, found[0]["epoch"], "s-t", "d" * 64, "approved") for run in (voted, late)]
        [early] = await writer.submit(over[0])
        assert bool((await writer.submit(DecideGate(*voted, "s-t", "approved", "kim")))[0])
        await rows(database, "update gates set expires_at = now()")
        stands = [(await writer.submit(one))[0] for one in over]
        [refused] = await writer.submit(DecideGate(*late, "s-t", "approved", "kim"))
        with pytest.raises(RunLost):
            await writer.submit(dataclasses.replace(over[1], epoch=99))
    assert (early.state, 3590 < early.expires_s < 3600) == (GateState.WAITING, True)
    assert [one.state for one in stands] == [GateState.PASSED, GateState.FAILED]
    assert stands[1].reason == "nobody decided in time"
    assert refused.taken is Taken.CLOSED


async def test_the_same_write_again_keeps_votes_time_and_history(database: str) -> None:
    async with writing(database) as writer:
        await writer.submit(accept("1", "a"))
        found: list[Any] = []
        await writer.submit(Claim({"a": "v1"}, lambda: 1, lambda limit, rows, next_s: found.extend(rows)))
        [run] = found

        async def put(subject: str, state: GateState = GateState.WAITING, by: str = "approved") -> None:
            asked = (run["id"], "a", run["epoch"], "s-t", "s", "t", state, "", {"needed": 2}, subject, by)
            await writer.submit(PutGate(*asked, expires_s=3600))

        async def stands() -> tuple[Any, ...]:
            [gate] = await rows(database, "select state, decided_by, expires_at from gates")
            [votes] = await rows(database, "select count(*) as votes from gate_votes")
            [kept] = await rows(database, "select count(*) as kept from gate_history")
            return (*gate, votes["votes"], kept["kept"])

        await put("d" * 64)
        await writer.submit(DecideGate(run["id"], "a", "s-t", "approved", "kim", needed=2))
        first = await stands()
        await put("d" * 64)
        assert await stands() == first
        await writer.submit(DecideGate(run["id"], "a", "s-t", "approved", "lee", needed=2))
        passed = await stands()
        await put("d" * 64, GateState.FAILED)
        assert await stands() == passed
        await put("e" * 64)
        asked = await stands()
        assert asked[2] > first[2]
        await put("d" * 64)
    assert first[:2] + first[3:] == ("waiting", "kim", 1, 2)
    assert passed[:2] + passed[3:] == ("passed", "kim, lee", 2, 3)
    assert asked[:2] + asked[3:] == ("waiting", "approved", 2, 4)
    assert await rows(database, "select from gate_votes") == []


async def _until_asked(one: Api, run: int) -> None:
    async with asyncio.timeout(20):
        while True:
            seen = one.daemon.news.count
            if (await shown(one, run))["state"] == "waiting":
                return
            await one.daemon.news.changed(seen)


def _set_forward(one: Api, *, hours: float) -> None:
    """The daemon's clock runs ahead of the database's from now on."""
    real = one.daemon.clock.now
    one.daemon.clock.now = lambda: real() + timedelta(hours=hours)  # type: ignore[method-assign]


# What is kept.


async def test_every_check_is_kept_and_too_much_evidence_is_an_artifact(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=MILL) as one:
        run = await one.start("tried")
        await one.post(f"/api/v1/runs/{run}/resume")
        assert await reached(one.daemon, run) is RunState.SUCCEEDED
        gate = await shown(one, run)
        whole = orjson.loads(await one.daemon.store.get(gate["history"][0]["report"]))
    assert [(told["state"], told["evidence"]["try"]) for told in gate["history"]] == [("failed", 1), ("passed", 2)]
    assert gate["history"][0]["evidence"]["rows"][-1] == "and 4,900 more"
    assert whole["rows"] == ["x" * 100] * 5_000
    sizes = await rows(database, "select octet_length(evidence) as size, report_size from gate_history")
    assert all(row["size"] < 70_000 < row["report_size"] for row in sizes)


async def test_a_metric_is_compared_with_the_version_in_production(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=MILL) as one:
        first = await one.start("compared")
        registry = one.daemon.registry
        for number, r2 in ((1, 0.705), (2, 0.72)):
            new = NewVersion(model="line", artifacts={}, metrics={"r2": r2})
            await registry.register(new, idempotency_key=str(number))
            await registry.move_alias("line", "production", number, expect=number - 1 or None)
            await one.start("compared")
        gates = [await shown(one, run) for run in range(first, first + 3)]
    told = [(gate["state"], gate["evidence"]["metrics"]["r2"]["production"]) for gate in gates]
    assert told == [
        ("passed", {"model": "line", "version": None}),
        ("passed", {"model": "line", "version": 1, "value": 0.705}),
        ("failed", {"model": "line", "version": 2, "value": 0.72}),
    ]
