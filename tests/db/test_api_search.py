"""Looking for runs, events and gates over HTTP: by trigger, text and time, each answer bounded; and artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.db import parts, tagged, views
from service.model import RunState
from service.settings import Role
from tests.db.api import Api, api, problem
from tests.db.test_console_search import moved, sent
from tests.db.writing import rows


async def found(one: Api, path: str, **asked: Any) -> list[str]:
    """The subjects of events, or of those of runs, on all pages."""
    answer = await pages(one, path, **asked)
    return [
        each["subject"] if path.endswith("events") else each["event"]["subject"] for page in answer for each in page
    ]


async def pages(one: Api, path: str, **asked: Any) -> list[list[dict[str, Any]]]:
    told: list[list[dict[str, Any]]] = []
    before: dict[str, Any] = {}
    while True:
        answer = await one.http.get(f"/api/v1/{path}", params={**asked, **before})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        told.append(page[path])
        if page["next"] is None:
            return told
        before = {"before": page["next"]}


async def test_runs_and_events_are_found_by_time_text_and_trigger(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, Role.API) as one:
        for number, day in ((1, "2026-01-01"), (2, "2026-01-02"), (3, "2026-01-02"), (4, "2026-01-03")):
            await sent(one, f"e{number}", subject=f"Flights {number}")
            await moved(database, f"e{number}", day)
        trigger = (await one.http.get("/api/v1/runs")).json()["runs"][0]["trigger"]
        for path in ("runs", "events"):
            assert await found(one, path, since="2026-01-02", until="2026-01-02") == ["Flights 3", "Flights 2"]
            noon = {"since": "2026-01-02T12:00:01Z", "until": "2026-01-03T14:00:00+02:00"}
            assert await found(one, path, **noon) == []
            assert await found(one, path, until="2026-01-03T14:00:01+02:00", since="2026-01-03") == ["Flights 4"]
            assert await found(one, path, text="flights 2") == ["Flights 2"]
            assert await found(one, path, trigger=trigger, until="2026-01-01") == ["Flights 1"]
            assert await found(one, path, trigger="manual") == []
            assert await found(one, path, pipeline="sums", limit=3) == [f"Flights {n}" for n in (4, 3, 2, 1)]
            for wrong in ("someday", "2026-01-02T12:00:00", "0000-00-00"):
                assert "expected a day" in problem(await one.http.get(f"/api/v1/{path}?since={wrong}"), 422)
        assert await found(one, "events", key="e3") == ["Flights 3"]
        assert await found(one, "events", pipeline="gated") == []


async def test_a_request_looks_through_so_much_and_says_where_to_look_on(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "AT_ONCE", 3)
    monkeypatch.setattr(parts, "SEARCH_S", 0)
    monkeypatch.setattr(views, "AT_ONCE", 3)
    async with api(database, tmp_path, Role.API) as one:
        for number in range(1, 8):
            kind = "rare.kind" if number == 2 else "sum"
            await sent(one, f"e{number}", kind=kind, source=f"/{number}", subject=f"n{number}", data={"factor": "x"})
        for asked in ({"type": "rare.kind"}, {"type": "rare"}, {"text": "n2"}, {"source": "/2"}):
            told = await pages(one, "events", **asked)
            assert [[each["subject"] for each in page] for page in told] == [[], ["n2"], []]
        # A rare fate has an index; what else is asked of it is looked for part by part.
        assert [len(page) for page in await pages(one, "events", fate="dead", limit=10)] == [3, 3, 0]
        told = await pages(one, "events", fate="dead", text="n1")
        assert [[each["subject"] for each in page] for page in told] == [[], ["n1"], []]
        third = "(select key from events where id = 'e3')"
        await rows(database, f"update fates set decided_at = now() - interval '2 days' where event_key = {third}")
        [at] = await rows(database, "select now() - interval '1 day' as at")
        recent = await found(one, "events", fate="dead", since=at["at"].isoformat())
        assert ("n3" in recent, "n4" in recent) == (False, True)


async def test_a_tag_that_many_runs_have_is_looked_for_part_by_part(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "AT_ONCE", 3)
    monkeypatch.setattr(parts, "SEARCH_S", 0)
    async with api(database, tmp_path, Role.API) as one:
        for number in range(1, 8):
            tags = ["old"] if number < 3 else []
            (await one.post("/api/v1/pipelines/sums/runs", {"id": f"s{number}", "tags": tags})).raise_for_status()
        wanted = {"tag": "old", "limit": 5}
        assert [len(page) for page in await pages(one, "runs", **wanted)] == [2]
        assert [len(page) for page in await pages(one, "runs", tag="none")] == [0]
        monkeypatch.setattr(tagged, "MOST_TAGGED", 1)
        assert [len(page) for page in await pages(one, "runs", **wanted)] == [0, 1, 1]


async def test_gates_that_wait_are_listed_with_what_is_asked(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        runs = [await one.start("gated", RunState.WAITING) for _ in range(3)]
        everything = (await one.http.get("/api/v1/gates")).json()
        first = (await one.http.get("/api/v1/gates?limit=2")).json()
        rest = (await one.http.get("/api/v1/gates", params={"limit": 2, "after": first["next"]})).json()
        named = (await one.http.get("/api/v1/gates?pipeline=gated&gate=double")).json()
        none = (await one.http.get("/api/v1/gates?pipeline=sums")).json()
        problem(await one.http.get("/api/v1/gates?pipeline=nothing"), 404)
        for wrong in ("after=1", "after=x/y", "limit=0", "state=waiting"):
            problem(await one.http.get(f"/api/v1/gates?{wrong}"), 422)
    assert [gate["run"] for gate in everything["gates"]] == runs[::-1]
    assert everything["gates"] == [*first["gates"], *rest["gates"]] == named["gates"]
    assert (everything["next"], rest["next"], none["gates"]) == (None, None, [])
    assert (everything["gates"][0]["asked"], everything["gates"][0]["needed"]) == (["leads"], 1)


async def test_an_artifact_is_had_once_and_for_ever(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run, again = await one.start("sums", factor=3), await one.start("sums", factor=3)
        stages = (await one.http.get(f"/api/v1/runs/{run}")).json()["stages"]
        place = f"/api/v1/runs/{run}/artifacts/{stages[0]['output']['digest']}"
        told = (await one.http.get(place)).json()
        content = await one.http.get(f"{place}/content")
        kept = await one.http.get(f"{place}/content", headers={"If-None-Match": content.headers["etag"]})
        problem(await one.http.get(f"/api/v1/runs/{run}/artifacts/{'0' * 64}/content"), 404)
        lineage = (await one.http.get(f"{place}/lineage")).json()
    assert told == {"run": run, "stage": "add", **stages[0]["output"]}
    assert content.json() == 43
    assert "immutable" in content.headers["cache-control"]
    assert content.headers["x-content-type-options"] == "nosniff"
    assert (kept.status_code, kept.content) == (304, b"")
    assert (lineage["stage"], lineage["models"], again > run) == ("add", [], True)


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("audit?refused=banana", 422, "refused='banana': expected true or false"),
        ("audit?since=abc", 422, "since='abc': expected a day"),
        ("tokens?all=banana", 422, "all='banana': expected true or false"),
        ("events?pipeline=nope", 404, "no pipeline 'nope' is known"),
        ("reviews?pipeline=nope", 404, "no pipeline 'nope' is known"),
        ("stream?pipeline=nope", 404, "no pipeline 'nope' is known"),
        ("stream?run=99999", 404, "there is no run 99999"),
    ],
)
async def test_what_is_asked_for_wrongly_is_not_passed_over(
    database: str, tmp_path: Path, path: str, status: int, says: str
) -> None:
    async with api(database, tmp_path, Role.API) as one:
        assert says in problem(await one.http.get(f"/api/v1/{path}"), status)


async def test_what_is_asked_for_rightly_is_answered(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("sums")
        for path in ("audit?since=2026-01-01&refused=True", "tokens?all=true", "reviews?pipeline=sums"):
            assert (await one.http.get(f"/api/v1/{path}")).status_code == 200, path
        last = {"Last-Event-ID": "zzz"}
        refused = await one.http.get(f"/api/v1/runs/{run}/logs?follow=true", headers=last)
        assert "Last-Event-ID 'zzz' is no place" in problem(refused, 422)
        made = {"artifacts": {}, "metrics": {"rmse": 1.0}}
        key = {"Idempotency-Key": "one"}
        assert (await one.http.post("/api/v1/models/m/versions", json=made, headers=key)).status_code == 201
        assert (await one.http.get("/api/v1/models/m?before=0")).json()["versions"] == []


async def test_what_only_the_clock_changes_has_the_same_tag(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        run = await one.start("gated", RunState.WAITING)
        for path in (f"runs/{run}", "runs", "triggers"):
            first = await one.http.get(f"/api/v1/{path}")
            again = await one.http.get(f"/api/v1/{path}", headers={"If-None-Match": first.headers["etag"]})
            assert again.status_code == 304, f"{path}: {first.text} and then {again.text}"
        before = (await one.http.get(f"/api/v1/runs/{run}")).headers["etag"]
        await one.call(one.client.decide, run, "add-double", "approve", by="kim")
        after = await one.http.get(f"/api/v1/runs/{run}", headers={"If-None-Match": before})
        assert after.status_code == 200
