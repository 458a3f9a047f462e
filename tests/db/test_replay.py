"""Replays: a new run beside the old one, which in shadow changes nothing outside and says what it would have done."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from service.db.sinks import LogEntry
from service.model import RunState
from service.settings import Role
from service.sinks.lifecycle import told_of
from stages.base import StageContext, stage
from stages.canonical.deploy import Deployment, deploy_version
from stages.canonical.register import RegisteredVersion, register_version
from stages.gates import approved
from stages.limits import Concurrency
from stages.pipeline import Pipeline
from stages.subrun import SubRun
from tests.db.api import STRUCTURED, Api, api, problem
from tests.db.asking import everything, tidemill
from tests.db.daemons import reached
from tests.db.writing import rows
from triggers.cloudevents import CloudEvents
from triggers.coalesce import Batch
from triggers.event import Event, utc_now

seen: list[tuple[str, str, bool]] = []
calls: list[str] = []


class Slope(BaseModel):
    slope: int = 3


@stage
async def fit(params: Slope) -> dict[str, int]:
    calls.append("fit")
    return {"slope": params.slope}


@stage(reuse="run")
async def publish(fit: dict[str, int], event: Event, context: StageContext) -> RegisteredVersion:
    seen.append((event.source, event.id, context.shadow))
    context.emit("model.made", {"slope": fit["slope"]})
    return await register_version(context, "line", model_input="fit", metrics={"slope": fit["slope"]})


@stage(reuse="run")
async def go_live(publish: RegisteredVersion, context: StageContext) -> Deployment:
    return await deploy_version(context, publish, alias="production")


@stage(reuse="run")
async def asks(event: Event) -> SubRun:
    return SubRun("inner", output="tells")


@stage(reuse="run")
async def tells(event: Event, context: StageContext) -> int:
    context.emit("inner.told")
    return 7


@stage(reuse="run")
async def totals(events: list[Event]) -> list[str]:
    return [one.id for one in events]


line = Pipeline(
    "line",
    [fit, publish, go_live],
    gates={("publish", "go_live"): approved(by="leads")},
    on=[CloudEvents(where={"type": "fit"}, params={"slope": "data.slope"})],
    concurrency=Concurrency("subject", policy="cancel_running"),
)


@stage(reuse="run")
async def breaks(event: Event) -> int:
    raise ValueError("broken")


broken = Pipeline("broken", [breaks], on=[CloudEvents(where={"type": "break"})])
outer = Pipeline("outer", [asks], on=[CloudEvents(where={"type": "ask"})])
inner = Pipeline("inner", [tells])
hears = Pipeline("hears", [totals], on=[CloudEvents(where={"type": {"any": ["model.made", "inner.told"]}})])
shared = Pipeline("shared", [totals], on=[CloudEvents(where={"type": "many"}, coalesce=Batch(3, 60))])
PIPELINES = (line, outer, inner, hears, shared, broken)


@pytest.fixture
async def mill(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    seen.clear()
    calls.clear()
    async with api(database, tmp_path, Role.API, Role.EXECUTOR, pipelines=PIPELINES) as one:
        yield one


async def sent(one: Api, event_id: str, kind: str = "fit", **data: Any) -> dict[str, Any]:
    event = {"specversion": "1.0", "id": event_id, "source": "/lake", "type": kind, "subject": "s", "data": data}
    answer = await one.http.post("/api/v1/events", json=event, headers=STRUCTURED)
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()["events"][0]
    return found


async def fitted(one: Api, event_id: str, **data: Any) -> int:
    """A run of `line` that was approved and is done."""
    run: int = (await sent(one, event_id, **data))["runs"][0]
    assert await reached(one.daemon, run, RunState.WAITING, RunState.FAILED) is RunState.WAITING
    await one.call(one.client.decide, run, "publish-go_live", "approve", "kim")
    assert await reached(one.daemon, run) is RunState.SUCCEEDED
    return run


async def replayed(one: Api, event_id: str, **more: Any) -> dict[str, Any]:
    answer = await one.post("/api/v1/replays", {"event": event_id, **more})
    assert answer.status_code in (200, 202), answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_shadow_run_registers_deploys_emits_and_asks_nothing(mill: Api) -> None:
    old = await fitted(mill, "1")
    before = await everything(mill.daemon)
    answer = await replayed(mill, "1", by="kim")
    assert (answer["of_run"], answer["shadow"], answer["pipeline"]) == (old, True, "line")
    assert await reached(mill.daemon, answer["run"]) is RunState.SUCCEEDED
    after = await everything(mill.daemon)
    for table in ("model_versions", "model_aliases", "gate_votes"):
        assert after[table] == before[table], table
    assert len(after["events"]) == len(before["events"]) + 1
    shown = await mill.call(mill.client.show, answer["run"])
    assert [(one["stage"], one["effect"]) for one in shown["effects"]] == [
        ("go_live", "move_alias"),
        ("publish", "register"),
        ("publish", "emit"),
    ]
    assert shown["effects"][0]["told"].startswith("would have moved production of model line from version 1 to")
    assert shown["replay"] == {
        "event": answer["of_event"],
        "run": old,
        "shadow": True,
        "reuse": True,
        "by": "kim",
    }
    assert (shown["trigger"], shown["tags"]) == ("replay:shadow", ["replay", "shadow"])
    [gate] = shown["gates"]
    assert (gate["state"], gate["reason"].startswith("in shadow nobody is asked")) == ("passed", True)


async def test_stages_see_the_original_event_and_that_they_are_in_shadow(mill: Api) -> None:
    await fitted(mill, "1")
    answer = await replayed(mill, "1")
    await reached(mill.daemon, answer["run"])
    assert seen == [("/lake", "1", False), ("/lake", "1", True)]


async def test_with_effects_it_does_all_again_and_people_are_asked(mill: Api) -> None:
    await fitted(mill, "1")
    answer = await replayed(mill, "1", effects=True)
    assert await reached(mill.daemon, answer["run"], RunState.WAITING, RunState.FAILED) is RunState.WAITING
    await mill.call(mill.client.decide, answer["run"], "publish-go_live", "approve", "kim")
    assert await reached(mill.daemon, answer["run"]) is RunState.SUCCEEDED
    versions = await mill.call(mill.client.model, "line")
    assert (versions["versions"][0]["version"], versions["aliases"]) == (2, {"production": 2})
    shown = await mill.call(mill.client.show, answer["run"])
    assert (shown["trigger"], shown["effects"], shown["tags"]) == ("replay:effects", [], ["replay"])


async def test_the_old_run_and_its_fate_stay_and_tell_of_the_replay(mill: Api) -> None:
    old = await fitted(mill, "1")
    fate = await mill.call(mill.client.event, "1")
    answer = await replayed(mill, "1")
    await reached(mill.daemon, answer["run"])
    told = await mill.call(mill.client.event, "1")
    assert told["outcomes"] == fate["outcomes"]
    assert [(one["run"], one["shadow"], one["state"]) for one in told["replays"]] == [
        (answer["run"], True, "succeeded")
    ]
    again = await replayed(mill, answer["event"])
    assert (again["of_event"], again["of_run"]) == (told["key"], old)


async def test_results_are_reused_unless_they_are_not_to_be(mill: Api) -> None:
    await fitted(mill, "1")
    first = await replayed(mill, "1")
    await reached(mill.daemon, first["run"])
    assert calls == ["fit"]
    second = await replayed(mill, "1", reuse=False)
    await reached(mill.daemon, second["run"])
    assert calls == ["fit", "fit"]
    await fitted(mill, "2", slope=4)
    await replayed(mill, "2", reuse=False)


@pytest.mark.rows_by_hand
async def test_results_made_in_shadow_are_taken_by_no_real_run(mill: Api) -> None:
    await fitted(mill, "1")
    found = await rows(mill.daemon.dsn, "delete from attempts returning run_id")
    assert found
    shadow = await replayed(mill, "1", reuse=False)
    await reached(mill.daemon, shadow["run"])
    keys = await rows(mill.daemon.dsn, "select from attempts where run_id = $1 and reusable", shadow["run"])
    assert keys == []
    await fitted(mill, "2")
    assert calls == ["fit", "fit", "fit"]


async def test_a_sub_run_of_a_shadow_run_is_in_shadow_too(mill: Api) -> None:
    run = (await sent(mill, "1", "ask"))["runs"][0]
    assert await reached(mill.daemon, run) is RunState.SUCCEEDED
    assert len(await rows(mill.daemon.dsn, "select from runs where pipeline = 'hears'")) == 1
    answer = await replayed(mill, "1")
    assert await reached(mill.daemon, answer["run"]) is RunState.SUCCEEDED
    [child] = await rows(
        mill.daemon.dsn, "select id, trigger from runs where pipeline = 'inner' and id > $1", answer["run"]
    )
    assert child["trigger"] == "replay:shadow"
    inside = await mill.call(mill.client.show, child["id"])
    assert inside["tags"] == ["replay", "shadow"]
    assert (inside["replay"]["shadow"], inside["replay"]["by"]) == (True, f"run {answer['run']}")
    effects = (await mill.call(mill.client.show, child["id"]))["effects"]
    assert [one["effect"] for one in effects] == ["emit"]
    assert len(await rows(mill.daemon.dsn, "select from runs where pipeline = 'hears'")) == 1


async def test_a_shadow_run_cancels_no_run_of_its_key(mill: Api) -> None:
    await fitted(mill, "1")
    standing = (await sent(mill, "2"))["runs"][0]
    await reached(mill.daemon, standing, RunState.WAITING)
    answer = await replayed(mill, "1")
    assert await reached(mill.daemon, answer["run"]) is RunState.SUCCEEDED
    assert (await mill.call(mill.client.show, standing))["state"] == "waiting"
    await replayed(mill, "1", effects=True)
    assert await reached(mill.daemon, standing) is RunState.CANCELLED


async def test_a_shared_run_is_replayed_with_all_its_events(mill: Api) -> None:
    answers = [await sent(mill, name, "many") for name in ("a", "b", "c")]
    run = answers[0]["runs"][0]
    assert await reached(mill.daemon, run) is RunState.SUCCEEDED
    answer = await replayed(mill, "b")
    assert (answer["of_run"], await reached(mill.daemon, answer["run"])) == (run, RunState.SUCCEEDED)
    found = await mill.call(mill.client.diff, run, answer["run"])
    assert [one["same_output"] for one in found["stages"]] == [True]


async def test_what_is_known_of_a_replay_goes_with_its_run(mill: Api) -> None:
    run = (await sent(mill, "1", "ask"))["runs"][0]
    await reached(mill.daemon, run)
    answer = await replayed(mill, "1")
    await reached(mill.daemon, answer["run"])
    for table in ("replays", "fenced_effects"):
        assert await rows(mill.daemon.dsn, f"select from {table}")
    for _ in range(2):  # a sub-run goes once the run it belongs to is gone
        await mill.call(mill.client.clean_up, dry_run=False, days=0)
    assert await rows(mill.daemon.dsn, "select from runs where pipeline in ('outer', 'inner')") == []
    for table in ("replays", "fenced_effects"):
        assert await rows(mill.daemon.dsn, f"select from {table}") == []
    assert (await mill.call(mill.client.event, "1"))["replays"] == []


async def test_a_repeat_is_the_same_replay(mill: Api) -> None:
    await fitted(mill, "1")
    first = await replayed(mill, "1", id="k")
    assert (await replayed(mill, "1", id="k"))["run"] == first["run"]
    other = await mill.post("/api/v1/replays", {"event": "1", "id": "k", "reuse": False})
    assert "other settings" in problem(other, 422)
    assert (await replayed(mill, "1"))["run"] != first["run"]


async def test_what_cannot_be_replayed_says_why(mill: Api) -> None:
    await fitted(mill, "1")
    await sent(mill, "2", "nobody")
    asked = [
        ({"event": "never"}, 404, "was never accepted"),
        ({"event": "2"}, 409, "this event started no run: name the pipeline that is to run with it (--pipeline, over"),
        ({"event": "2", "pipeline": "line"}, 409, "no trigger of it would start one: filter: type is"),
        ({"event": "1", "pipeline": "lin"}, 404, "no pipeline is called 'lin'"),
        ({"event": "1", "on": "abcdef123456"}, 404, "line has no version 'abcdef123456'; its latest are"),
    ]
    for body, status, told in asked:
        assert told in problem(await mill.post("/api/v1/replays", body), status)
    assert (await replayed(mill, "1", on=line.version[:8]))["version"] == line.version


async def test_nobody_outside_can_send_a_replay(mill: Api) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "tidemill:replay/line", "type": "fit"}
    answer = await mill.http.post("/api/v1/events", json=event, headers=STRUCTURED)
    assert "kept for replays" in problem(answer, 422)


async def test_the_command_line_replays_waits_and_shows_the_difference(mill: Api) -> None:
    old = await fitted(mill, "1")
    code, out, err = await tidemill(mill, "replay", "1", "--wait", "--no-reuse")
    assert code == 0, err
    assert "would have registered a version of model line" in out
    assert f"RUN {old}" in out
    code, out, _ = await tidemill(mill, "replay", "1", "--id", "x", "--json")
    answer = json.loads(out)
    assert (code, answer["of_run"]) == (0, old)
    assert await reached(mill.daemon, answer["run"]) is RunState.SUCCEEDED
    code, out, _ = await tidemill(mill, "show", str(answer["run"]))
    assert f"of run {old}, of event" in out
    code, out, _ = await tidemill(mill, "event", "1")
    assert f"replayed in shadow: run {answer['run']} of line (succeeded)" in out


async def test_nobody_outside_hears_how_shadow_runs_go(mill: Api) -> None:
    old = await fitted(mill, "1")
    shadow = (await replayed(mill, "1"))["run"]
    await reached(mill.daemon, shadow)
    real = (await replayed(mill, "1", effects=True))["run"]
    entries = [
        LogEntry(f"1/{n}", utc_now(), {"run": run, "pipeline": "line", "move": "succeeded"})
        for n, run in enumerate((old, shadow, real))
    ]

    class Known:
        async def runs(self, run_ids: Sequence[int]) -> Mapping[int, Any]:
            return {row["id"]: row for row in await mill.daemon.reads.fetch("sink_runs", run_ids)}

    told = await told_of("here", entries, Known())
    assert [event.data["run"] for _, event in told] == [old, real]


async def test_what_a_pause_held_back_runs_afterwards_once_and_oldest_first(mill: Api) -> None:
    await mill.call(mill.client.pause, "hears", "moving", "kim")
    held = [(await sent(mill, name, "model.made"))["key"] for name in ("a", "b", "c")]
    code, out, _ = await tidemill(mill, "unpause", "hears")
    assert code == 0
    later = out.splitlines()[-1].removeprefix("run it: tidemill ").split()
    assert later[:3] == ["unpause", "hears", "--run-missed"]
    first = await replayed(mill, "b", pipeline="hears", effects=True)
    for _ in range(2):
        code, out, err = await tidemill(mill, *later, "--json")
        assert code == 0, err
        b, (a, _, c) = first["run"], json.loads(out)["runs"]
        assert json.loads(out)["runs"] == [a, b, c]
        assert b < a < c
    found = [await mill.call(mill.client.event, key) for key in held]
    assert [[one["run"] for one in each["replays"]] for each in found] == [[a], [b], [c]]
    assert (await replayed(mill, "a"))["pipeline"] == "hears", "the one that it was held back from"
    assert {each["fate"] for each in found} == {"paused"}
    told = "It started nothing in hears: paused, the pipeline was paused by kim: moving (cloudevents), but run {} was"
    assert all(each["told"].startswith(told.format(run)) for each, run in zip(found, (a, b, c), strict=True))
    assert await reached(mill.daemon, a) is RunState.SUCCEEDED
    _, out, _ = await tidemill(mill, *later)
    assert out.splitlines()[-1].endswith(f": 3: runs {a}, {b}, {c}")


async def test_what_an_earlier_pause_held_back_is_left_by_the_next_one(mill: Api) -> None:
    held = []
    for name in ("left", "meant"):
        await mill.call(mill.client.pause, "hears", "moving", "kim")
        held.append((await sent(mill, name, "model.made"))["key"])
        missed = ["--run-missed"] if name == "meant" else []
        code, out, err = await tidemill(mill, "unpause", "hears", *missed)
        assert code == 0, err
    assert "held back by pause 2: 1: run " in out
    found = [await mill.call(mill.client.event, key) for key in held]
    assert [len(each["replays"]) for each in found] == [0, 1]
    code, out, err = await tidemill(mill, "unpause", "hears", "--run-missed", "--pause", "1", "--json")
    assert (code, len(json.loads(out)["runs"])) == (0, 1), err
    assert [len((await mill.call(mill.client.event, key))["replays"]) for key in held] == [1, 1]
    refused = problem(await mill.http.get("/api/v1/events", params={"pause": 1}), 422)
    assert "fate=paused" in refused


async def test_one_held_back_event_that_cannot_run_any_more_keeps_no_other_from_it(mill: Api) -> None:
    await mill.call(mill.client.pause, "line", "moving", "kim")
    for name in ("a", "b"):
        await sent(mill, name, slope=3)
    found = (await mill.call(mill.client.events, fate="paused"))["events"]
    changed = (
        "update events set envelope = convert_to(replace(convert_from(envelope, 'utf8'), ':3}', ':\"x\"}'), 'utf8')"
    )
    await rows(mill.daemon.dsn, f"{changed} where id = 'a'")
    code, out, err = await tidemill(mill, "unpause", "line", "--run-missed")
    assert (code, ": 2: run " in out) == (1, True)
    [a] = [one["key"] for one in found if one["id"] == "a"]
    assert f"event {a} starts no run: " in err
    assert len(await rows(mill.daemon.dsn, "select from runs where pipeline = 'line'")) == 1


async def test_a_failed_replay_in_shadow_waits_for_nobody(mill: Api) -> None:
    old = (await sent(mill, "1", "break"))["runs"][0]
    assert await reached(mill.daemon, old) is RunState.FAILED
    shadow = await replayed(mill, "1")
    assert await reached(mill.daemon, shadow["run"]) is RunState.FAILED
    real = await replayed(mill, "1", effects=True)
    assert await reached(mill.daemon, real["run"]) is RunState.FAILED
    page = await mill.call(mill.client.reviews)
    assert ([one["run"] for one in page["reviews"]], page["open"]) == ([real["run"], old], 2)


async def test_the_diff_of_a_shared_run_and_its_replay_tells_no_other_event(mill: Api) -> None:
    first = await sent(mill, "1", "many")
    await sent(mill, "2", "many")
    await sent(mill, "3", "many")
    run = first["runs"][0]
    assert await reached(mill.daemon, run) is RunState.SUCCEEDED
    answer = await replayed(mill, "2", reuse=False)
    assert await reached(mill.daemon, answer["run"]) is RunState.SUCCEEDED
    assert (await mill.call(mill.client.diff, run, answer["run"]))["event"] == []
