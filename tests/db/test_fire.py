"""Firing a trigger: the event it would make becomes real, once, with its fate, and says who fired it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.settings import Role
from stages.pipeline import Pipeline
from tests.db.api import Api, api, problem
from tests.db.asking import NO_BROKER, PIPELINES, count, everything, tidemill
from tests.db.writing import rows
from triggers.approval import Approval
from triggers.continuous.kinesis import KinesisBatches
from triggers.stream import StreamFeatures
from triggers.stream.aggregates import Count

fed = Pipeline(
    "fed",
    [count],
    on=[
        StreamFeatures("live", "data.carrier", aggregates={"flights": Count()}),
        KinesisBatches("clicks"),
        Approval(),
    ],
)
GATE = {"pipeline": "flights", "gate": "a-b", "run_id": 7}
CRON, HOOK = "months/cron:0 2 * * *", "months/webhook:ci"


@pytest.fixture
async def asked(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    (tmp_path / "landing").mkdir()
    async with api(database, tmp_path, Role.API, pipelines=(*PIPELINES, fed), kafka=NO_BROKER) as one:
        yield one


async def fired(one: Api, name: str, *, status: int = 202, **more: Any) -> dict[str, Any]:
    answer = await one.post("/api/v1/fire", {"name": name, **more})
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_tick_fires_now_or_at_a_time_and_is_an_event_of_its_own(asked: Api) -> None:
    found = await fired(asked, CRON, at="2026-01-02T02:00:00Z", by="kim", id="a")
    event = found["cloudevent"]
    assert (event["type"], event["time"]) == ("dev.tidemill.schedule.tick", "2026-01-02T02:00:00Z")
    assert (event["id"], event["tidemillfiredby"]) == ("fired/a", "kim")
    [run] = found["events"][0]["runs"]
    shown = await asked.call(asked.client.show, run)
    assert (shown["pipeline"], shown["trigger"]) == ("months", "cron:0 2 * * *")
    told = (await asked.call(asked.client.event, "fired/a"))["told"]
    assert told == f"Fired by kim: It started run {run} of months by cron:0 2 * * *"


async def test_a_retry_is_the_same_run(asked: Api) -> None:
    first = await fired(asked, CRON, id="once")
    again = await fired(asked, CRON, id="once", status=200)
    assert again["events"][0]["runs"] == first["events"][0]["runs"]
    by_header = await asked.http.post("/api/v1/fire", json={"name": CRON}, headers={"Idempotency-Key": "once"})
    assert by_header.json()["events"][0]["runs"] == first["events"][0]["runs"]
    assert len(await rows(asked.daemon.dsn, "select from runs")) == 1
    other = await asked.post("/api/v1/fire", {"name": CRON, "id": "once", "at": "2026-01-02T02:00:00Z"})
    assert "was used before to fire" in problem(other, 422)
    assert len({(await fired(asked, CRON))["cloudevent"]["id"] for _ in range(2)}) == 2


async def test_only_this_trigger_hears_it(asked: Api) -> None:
    given = json.dumps({"month": 3})
    found = await fired(
        asked, "months/cloudevents", payload=json.dumps({"specversion": "1.0", "subject": "fl", "data": {"month": 3}})
    )
    assert [one["pipeline"] for one in found["events"][0]["outcomes"]] == ["months"]
    assert found["cloudevent"]["type"] == "data.arrived"
    assert found["events"][0]["fate"] == "ran"
    heard = await fired(asked, "keyed/cloudevents", payload=given)
    assert heard["cloudevent"]["type"] == "data.arrived"
    assert [one["pipeline"] for one in heard["events"][0]["outcomes"]] == ["keyed"]


async def test_a_record_is_fired_as_kafka_would_bring_it(asked: Api) -> None:
    found = await fired(asked, "kafka:data.arrivals", payload='{"month": 11}')
    [run] = found["events"][0]["runs"]
    assert (await asked.call(asked.client.show, run))["params"]["month"] == 11
    dead = await fired(asked, "kafka:data.arrivals", payload="{")
    assert (dead["events"][0]["fate"], dead["events"][0]["runs"]) == ("dead", [])
    refused = problem(await asked.post("/api/v1/fire", {"name": "kafka-batches:data.arrivals"}), 422)
    assert '"first_offset": 0' in refused
    offsets = {"cluster": "c", "partition": 1, "first_offset": 5, "last_offset": 9, "count": 5}
    batch = await fired(asked, "kafka-batches:data.arrivals", payload=json.dumps(offsets))
    assert batch["cloudevent"]["data"]["topic"] == "data.arrivals"
    assert batch["events"][0]["fate"] == "ran"


async def test_a_delivery_is_fired_without_a_signature(asked: Api) -> None:
    body, headers = json.dumps({"ref": "refs/heads/main"}), {"X-GitHub-Event": "push", "X-GitHub-Delivery": "abc"}
    found = await fired(asked, HOOK, payload=body, headers=headers)
    assert (found["cloudevent"]["type"], found["events"][0]["fate"]) == ("dev.tidemill.webhook.github.push", "ran")
    assert found["cloudevent"]["id"].startswith("fired/")
    unsigned = await asked.http.post("/hooks/ci", json={"ref": "refs/heads/main"})
    assert unsigned.status_code == 401


async def test_a_file_is_fired_with_its_content(asked: Api, tmp_path: Path) -> None:
    (tmp_path / "landing" / "a.csv").write_bytes(b"x,y\n")
    found = await fired(asked, "files:landing/*.csv", path="landing/a.csv")
    assert found["cloudevent"]["data"]["size_bytes"] == 4
    assert len(found["cloudevent"]["data"]["digest"]) == 64
    assert found["events"][0]["fate"] == "ran"
    for path, told in (("landing/b.csv", "No such file"), ("other/a.csv", "is not like"), (None, "say which")):
        refused = problem(await asked.post("/api/v1/fire", {"name": "files:landing/*.csv", "path": path}), 422)
        assert told in refused


async def test_a_decision_at_a_gate_is_fired_with_what_it_is_about(asked: Api) -> None:
    vote = json.dumps({"gate": "a-b", "run_id": 7})
    found = await fired(asked, "decided/approval:months/*:approved", payload=vote)
    assert found["events"][0]["fate"] == "ran"
    assert found["cloudevent"]["type"] == "dev.tidemill.gate.approved"
    other = await fired(
        asked, "decided/approval:months/*:approved", payload=json.dumps({**json.loads(vote), "decision": "rejected"})
    )
    assert other["events"][0]["fate"] == "ignored"


@pytest.mark.parametrize(
    ("name", "told", "enough"),
    [
        ("kafka-stream:live", '{"rows": [{"key": "KEY", "flights": 1}]}', {"rows": [{"key": "AA", "flights": 3}]}),
        (
            "kinesis-batches:clicks",
            '{"account": "ID", "shard": "NAME", "first": "PLACE", "last": "PLACE", "count": 10}',
            {"account": "1", "shard": "s", "first": "4", "last": "9", "count": 2},
        ),
        ("approval:*/*:approved", '{"pipeline": "NAME", "gate": "STAGE-STAGE", "run_id": 12}', GATE),
    ],
)
async def test_what_means_nothing_without_data_starts_no_run_and_says_what_to_give(
    asked: Api, name: str, told: str, enough: dict[str, Any]
) -> None:
    for payload in ("", "{}"):
        refused = problem(await asked.post("/api/v1/fire", {"name": f"fed/{name}", "payload": payload}), 422)
        assert f"say which, with --data, as in {told}" in refused
    refused = problem(await asked.post("/api/v1/fire", {"name": f"fed/{name}", "payload": "[1]"}), 422)
    assert "the data is list, not an object" in refused
    assert await rows(asked.daemon.dsn, "select from events") == []
    found = await fired(asked, f"fed/{name}", payload=json.dumps(enough))
    assert found["events"][0]["fate"] == "ran"
    assert {**found["cloudevent"]["data"], **enough} == found["cloudevent"]["data"]


async def test_what_is_switched_off_fires_nothing_and_says_so(asked: Api) -> None:
    found = await fired(asked, "months/hourly")
    assert (found["events"][0]["fate"], found["events"][0]["reason"]) == (
        "ignored",
        "disabled: this trigger is switched off",
    )


async def test_a_dry_run_tells_and_changes_nothing(asked: Api) -> None:
    before = await everything(asked.daemon)
    found = await fired(asked, CRON, dry_run=True, status=200)
    assert found["events"] == []
    assert [run["pipeline"] for run in found["explained"]["runs"]] == ["months"]
    assert await everything(asked.daemon) == before


async def test_an_unknown_trigger_is_answered_with_the_nearest(asked: Api) -> None:
    detail = problem(await asked.post("/api/v1/fire", {"name": "months/webhok:ci"}), 404)
    assert "did you mean 'months/webhook:ci'" in detail
    assert "`tidemill triggers` lists them" in detail
    several = problem(await asked.post("/api/v1/fire", {"name": "cloudevents"}), 422)
    assert "keyed/cloudevents, months/cloudevents" in several
    by_hand = problem(await asked.post("/api/v1/fire", {"name": "decided/approval:months/*:approved", "at": "x"}), 422)
    assert "at:" in by_hand


async def test_the_command_line_fires_and_tells(asked: Api, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"month": 4}')
    code, out, err = await tidemill(
        asked, "fire", "kafka:data.arrivals", "--data", "record.json", "--id", "x", cwd=tmp_path
    )
    assert (code, err) == (0, "")
    assert out.startswith("months/kafka:data.arrivals fired: run ")
    code, out, _ = await tidemill(asked, "fire", "kafka:data.arrivals", "--data", '{"month": 4}', "--id", "x", "--json")
    assert (code, json.loads(out)["cloudevent"]["tidemillfiredby"]) == (0, "kim")
    assert len(await rows(asked.daemon.dsn, "select from runs")) == 1
    code, out, _ = await tidemill(asked, "fire", CRON, "--at", "2026-01-02T02:00:00Z", "--dry-run")
    assert (code, out.splitlines()[0]) == (0, "it would start 1 run")
    code, _, err = await tidemill(asked, "fire", "months/hourly")
    assert (code, "started nothing: ignored: disabled" in err) == (1, True)
    code, _, err = await tidemill(asked, "fire", "months/houry")
    assert (code, "did you mean 'months/hourly'" in err) == (2, True)
    code, _, err = await tidemill(asked, "fire", CRON, "--at", "noon")
    assert (code, "is no time" in err) == (2, True)
