"""Explaining an event: what it would do is told, and nothing is done."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from service.settings import Role
from tests.db.api import STRUCTURED, Api, api, problem
from tests.db.asking import NO_BROKER, PIPELINES, arrived, everything, tidemill


@pytest.fixture
async def asked(database: str, tmp_path: Path) -> AsyncIterator[Api]:
    """A daemon that takes events and drives nothing: what it starts stays queued."""
    (tmp_path / "landing").mkdir()
    async with api(database, tmp_path, Role.API, pipelines=PIPELINES, kafka=NO_BROKER) as one:
        yield one


async def explained(one: Api, payload: Any = None, **more: Any) -> dict[str, Any]:
    body = {"payload": json.dumps(payload), **more} if payload is not None else more
    answer = await one.post("/api/v1/explain", body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def of(found: dict[str, Any], pipeline: str, trigger: str) -> dict[str, Any]:
    [one] = [one for one in found["triggers"] if (one["pipeline"], one["trigger"]) == (pipeline, trigger)]
    return dict(one)


async def test_what_is_foretold_is_what_happens(asked: Api) -> None:
    event = arrived("1", month=3, data={"month": 3, "region": "west"})
    found = await explained(asked, event)
    by_pipeline = {run["pipeline"]: run for run in found["runs"]}
    assert set(by_pipeline) == {"months", "keyed"}
    assert by_pipeline["months"]["params"] == {"month": 3, "region": "west"}
    assert (by_pipeline["months"]["priority"], by_pipeline["months"]["tags"]) == (7, ["monthly"])
    assert by_pipeline["months"]["told"] == "it would start at once"
    assert found["route"] == "http"
    assert not found["known"]

    answer = (await asked.http.post("/api/v1/events", json=event, headers=STRUCTURED)).json()["events"][0]
    assert answer["key"] == found["key"]
    assert {(one["pipeline"], one["trigger"]) for one in answer["outcomes"] if one["run"]} == {
        (run["pipeline"], run["trigger"]) for run in found["runs"]
    }


async def test_every_clause_that_says_no_is_told(asked: Api) -> None:
    found = await explained(asked, arrived("1", month=9, subject="weather"))
    verdict = of(found, "months", "cloudevents")
    assert (verdict["reached"], verdict["fate"]) == (True, "ignored")
    assert [(one["clause"], one["found"]) for one in verdict["clauses"]] == [("subject", "weather"), ("data.month", 9)]
    assert verdict["clauses"][1]["wanted"] == {"any": [1, 2, 3]}
    assert verdict["reason"] == 'filter: subject is "weather", wanted prefix "fl"'
    kafka = of(found, "months", "kafka:data.arrivals")
    assert (kafka["reached"], kafka["fate"]) == (False, None)
    assert kafka["reason"] == "it reads the topic data.arrivals"
    assert of(found, "months", "cron:0 2 * * *")["reason"] == "it hears the clock alone"


async def test_wrong_params_are_the_fate_they_would_be(asked: Api) -> None:
    event = arrived("1", data={"month": 2, "region": 7})
    found = await explained(asked, event)
    verdict = of(found, "months", "cloudevents")
    assert verdict["fate"] == "dead"
    assert "region" in verdict["reason"]
    assert [run["pipeline"] for run in found["runs"]] == ["keyed"]
    answer = (await asked.http.post("/api/v1/events", json=event, headers=STRUCTURED)).json()["events"][0]
    [outcome] = [one for one in answer["outcomes"] if one["pipeline"] == "months"]
    assert (outcome["fate"], outcome["reason"]) == ("dead", verdict["reason"])


async def test_limits_are_told_as_they_stand(asked: Api) -> None:
    await asked.http.post("/api/v1/events", json=arrived("1"), headers=STRUCTURED)
    found = await explained(asked, arrived("2"))
    [keyed] = [run for run in found["runs"] if run["pipeline"] == "keyed"]
    limits = keyed["limits"]
    assert (limits["key"], limits["at_most"], limits["policy"]) == ("flights", 1, "drop_new")
    assert len(limits["unfinished"]) == 1
    assert keyed["told"] == (
        f"it would not come to be: run {limits['unfinished'][0]} of the same key 'flights' has not finished,"
        " and the pipeline drops new ones"
    )
    assert (limits["rate"], limits["rate_started"], limits["max_running"]) == ("", 0, 4)
    other = await explained(asked, arrived("2", subject="flown"))
    assert [run["told"] for run in other["runs"] if run["pipeline"] == "keyed"] == ["it would start at once"]


async def test_a_record_is_explained_as_kafka_would_bring_it(asked: Api) -> None:
    found = await explained(asked, {"month": 5}, **{"as": "kafka:data.arrivals"})
    assert [(run["pipeline"], run["params"]["month"]) for run in found["runs"]] == [("months", 5)]
    assert found["route"] == "kafka:data.arrivals"
    assert found["cloudevent"]["type"] == "dev.tidemill.kafka.record"
    carried = await explained(asked, arrived("7"), **{"as": "kafka:data.arrivals"})
    assert (carried["cloudevent"]["source"], carried["cloudevent"]["id"]) == ("/lake", "7")
    broken = await asked.post("/api/v1/explain", {"payload": "{month", "as": "kafka:data.arrivals"})
    verdict = of(broken.json(), "months", "kafka:data.arrivals")
    assert (verdict["fate"], broken.json()["runs"]) == ("dead", [])
    assert verdict["reason"].startswith("not JSON")
    elsewhere = await explained(asked, {"month": 5}, **{"as": "kafka:other"})
    assert elsewhere["runs"] == []


async def test_a_delivery_needs_no_signature_to_be_explained(asked: Api) -> None:
    found = await explained(
        asked, {"ref": "refs/heads/main"}, **{"as": "webhook:ci"}, headers={"X-GitHub-Event": "push"}
    )
    assert [run["pipeline"] for run in found["runs"]] == ["months"]
    assert found["cloudevent"]["type"] == "dev.tidemill.webhook.github.push"
    other = await explained(asked, {"ref": "refs/heads/topic"}, **{"as": "webhook:ci"})
    assert other["runs"] == []
    assert of(other, "months", "webhook:ci")["clauses"][0]["found"] == "refs/heads/topic"
    assert "no hook is called 'cd'; there are ci" in problem(
        await asked.post("/api/v1/explain", {"payload": "{}", "as": "webhook:cd"}), 422
    )


async def test_a_file_is_explained_by_its_path(asked: Api, tmp_path: Path) -> None:
    (tmp_path / "landing" / "a.csv").write_text("x")
    found = await explained(asked, **{"as": "file:landing/a.csv"})
    assert [run["trigger"] for run in found["runs"]] == ["files:landing/*.csv"]
    assert found["cloudevent"]["data"]["size_bytes"] == 1
    missed = of(await explained(asked, **{"as": "file:landing/deep/a.csv"}), "months", "files:landing/*.csv")
    assert missed["reason"].endswith("landing/deep/a.csv is not like landing/*.csv")
    hidden = of(await explained(asked, **{"as": "file:landing/.a.csv"}), "months", "files:landing/*.csv")
    assert not hidden["reached"]
    (tmp_path / "secret.txt").write_text("four")
    elsewhere = await explained(asked, **{"as": "file:secret.txt"})
    assert elsewhere["cloudevent"]["data"]["size_bytes"] == 0, "what no trigger would see is not looked at"


async def test_an_accepted_event_is_explained_as_it_came(asked: Api) -> None:
    await asked.http.post("/api/v1/events", json=arrived("seen", month=1), headers=STRUCTURED)
    found = await explained(asked, event="seen")
    assert found["known"]
    assert {one["pipeline"] for one in found["outcomes"] if one["fate"] == "ran"} == {"months", "keyed"}
    await asked.post("/api/v1/pipelines/months/runs", {"params": {"month": 4}, "id": "by-hand"})
    by_hand = await explained(asked, event="by-hand")
    assert by_hand["route"] == "manual:months"
    assert [(run["pipeline"], run["params"]["month"]) for run in by_hand["runs"]] == [("months", 4)]
    again = await explained(asked, arrived("seen", month=1))
    assert again["known"]
    assert "was never accepted" in problem(await asked.post("/api/v1/explain", {"event": "never"}), 404)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "give either"),
        ({"payload": "{}", "event": "x"}, "give either"),
        ({"payload": "nonsense"}, "this is not JSON"),
        ({"payload": '{"month": 1}'}, "say what it is with --as kafka:TOPIC, webhook:HOOK or file:PATH"),
        ({"payload": '{"specversion": "1.0", "id": "1", "source": "/s"}'}, "type is missing"),
        ({"payload": "{}", "as": "pigeon:home"}, "'pigeon:home'"),
        ({"payload": "{}", "as": "kafka:"}, "'kafka:'"),
    ],
)
async def test_what_cannot_be_explained_is_refused(asked: Api, body: dict[str, Any], told: str) -> None:
    assert told in problem(await asked.post("/api/v1/explain", body), 422)


async def test_nothing_is_changed_by_asking(asked: Api, tmp_path: Path) -> None:
    await asked.http.post("/api/v1/events", json=arrived("seen"), headers=STRUCTURED)
    before = await everything(asked.daemon)
    (tmp_path / "event.json").write_text(json.dumps(arrived("new")))
    await explained(asked, arrived("new"))
    await explained(asked, event="seen")
    await explained(asked, {"month": 1}, **{"as": "kafka:data.arrivals"})
    await explained(asked, {"ref": "refs/heads/main"}, **{"as": "webhook:ci"})
    await explained(asked, **{"as": "file:landing/a.csv"})
    assert (await tidemill(asked, "explain", "event.json", cwd=tmp_path))[0] == 0
    assert await everything(asked.daemon) == before
    await asked.http.post("/api/v1/events", json=arrived("new"), headers=STRUCTURED)
    assert await everything(asked.daemon) != before


async def test_the_command_line_explains_files_standard_input_and_accepted_events(asked: Api, tmp_path: Path) -> None:
    weather = arrived("1", month=9, subject="weather", time="2026-01-02T03:04:05Z")
    text = json.dumps(weather)
    (tmp_path / "event.json").write_text(text)
    code, out, err = await tidemill(asked, "explain", "event.json", cwd=tmp_path)
    assert (code, err) == (0, "")
    assert out.startswith("it would start 1 run\n")
    assert 'filter: subject is "weather", wanted prefix "fl"' in out
    assert "and data.month is 9, wanted any of 1, 2, 3" in out
    code, out, _ = await tidemill(asked, "explain", "-", "--json", given=text)
    assert (code, json.loads(out)) == (0, await explained(asked, weather))
    await asked.http.post("/api/v1/events", json=arrived("seen"), headers=STRUCTURED)
    assert "it was accepted before" in (await tidemill(asked, "explain", "--event", "seen"))[1]
    code, out, _ = await tidemill(asked, "explain", "-", "--as", "kafka:data.arrivals", given='{"month": 2}')
    assert (code, out.splitlines()[0]) == (0, "it would start 1 run")


async def test_the_command_line_tells_runs_from_events(asked: Api) -> None:
    answer = await asked.post("/api/v1/pipelines/months/runs", {"params": {}})
    run = str(answer.json()["events"][0]["runs"][0])
    code, out, _ = await tidemill(asked, "explain", run)
    assert (code, out.split()[:4]) == (0, ["run", run, "of", "months"])
    code, _, err = await tidemill(asked, "explain", "event.json", "read")
    assert (code, "belong to a run" in err) == (2, True)
    code, _, err = await tidemill(asked, "explain")
    assert (code, "tidemill explain event.json" in err) == (2, True)
    code, _, err = await tidemill(asked, "explain", "no-such.json")
    assert (code, "no-such.json cannot be read" in err) == (2, True)
