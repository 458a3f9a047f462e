"""Models over HTTP: the registry for stages that run elsewhere, and predictions from what is in production."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from service.client import ApiError, AsyncClient
from service.settings import Role
from stages.base import StageContext, stage
from stages.pipeline import Pipeline
from stages.registry import NewVersion
from tests.db.api import Api, api, problem
from triggers.event import Event

PREDICT = "/models/line/predict"
DIGEST = "0" * 64


async def in_production(one: Api, model: str = "line") -> None:
    """Train a version and move the alias to it."""
    await one.start(model)
    await one.call(one.client.move_alias, model, "production", 1, None)


async def test_the_version_in_production_answers(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        assert "registered: none" in problem(await one.post(PREDICT, {"x": [1]}), 404)
        await one.start("line")
        assert "approve" in problem(await one.post(PREDICT, {"x": [1]}), 404)
        await one.call(one.client.move_alias, "line", "production", 1, None)
        answer = await one.post(PREDICT, {"x": [1, 2]})
        assert await one.call(one.client.predict, "line", {"x": [1, 2]}) == answer.json()
        await one.start("line")
        await one.call(one.client.move_alias, "line", "production", 2, 1)
        moved = await one.post(PREDICT, {"x": [1]})
        models = await one.call(one.client.models)
        versions = await one.call(one.client.model, "line")
    assert answer.json() == {"y": [3, 6], "model": "line", "version": 1}
    assert answer.headers["tidemill-model-version"] == "1"
    assert moved.json()["version"] == 2
    assert models == {
        "models": [{"model": "line", "versions": 2, "latest": 2, "aliases": {"production": 2}}],
        "next": None,
    }
    told = [(one["version"], one["state"], one["aliases"]) for one in versions["versions"]]
    assert told == [(2, "production", ["production"]), (1, "archived", [])]


async def test_a_wrong_payload_is_the_callers_error_and_a_fault_of_the_pipeline_is_not(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with api(database, tmp_path) as one:
        await in_production(one)
        assert "KeyError: 'x'" in problem(await one.post(PREDICT, {}), 422)
        assert "TypeError" in problem(await one.post(PREDICT, {"x": 5}), 422)
        problem(await one.http.post(PREDICT, content=b"{", headers={"Content-Type": "application/json"}), 400)
        assert [record for record in caplog.records if record.exc_info] == []
        for odd in ("nan", "inf", "-inf"):
            told = problem(await one.post(PREDICT, {"odd": odd}), 422)
            assert told.startswith(f"line version 1 answered {odd}, and JSON has no such number")
        assert (await one.post(PREDICT, {"odd": "2.5"})).json()["y"] == [1, None, {"value": 2.5}]
        for fault in ("fault", "library_fault", "nothing_like_json"):
            detail = problem(await one.post(PREDICT, {"x": [1], fault: True}), 500)
            assert "its log tells" in detail
    logged = [record for record in caplog.records if record.exc_info]
    assert len(logged) == 3
    assert {record.name for record in logged} == {"uvicorn.error"}


@stage(reuse="run")
async def heavy(event: Event) -> dict[str, Any]:
    return {"slope": 3, "ballast": "x" * 10_000}


@stage(reuse="run")
async def publish_heavy(heavy: dict[str, Any], context: StageContext) -> int:
    assert context.registry is not None
    new = NewVersion(
        model="heavy", artifacts={"model": context.artifact_digests["heavy"]}, run_id=context.run_id, pipeline="heavy"
    )
    return (await context.registry.register(new, idempotency_key=context.idempotency_key)).version


def slope(model: dict[str, Any], payload: Any) -> int:
    """Serves `heavy`, whose model is too large for its row."""
    return int(model["slope"])


served_from_store = Pipeline("heavy", [heavy, publish_heavy], serve=slope)


async def test_a_model_is_read_from_the_store_once(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path, pipelines=(served_from_store,)) as one:
        await in_production(one, "heavy")
        shutil.move(tmp_path / "artifacts", tmp_path / "away")
        lost = await one.post("/models/heavy/predict", {})
        shutil.move(tmp_path / "away", tmp_path / "artifacts")
        first = await one.post("/models/heavy/predict", {})
        shutil.rmtree(tmp_path / "artifacts")
        again = await one.post("/models/heavy/predict", {})
    assert "is not in" in problem(lost, 500)
    assert first.json() == again.json() == {"predictions": 3, "model": "heavy", "version": 1}


async def test_a_daemon_without_the_pipeline_says_what_it_lacks(database: str, tmp_path: Path) -> None:
    async with api(database, tmp_path) as one:
        await in_production(one)
    async with api(database, tmp_path, Role.API, pipelines=()) as one:
        assert "TIDEMILL_PIPELINES" in problem(await one.post(PREDICT, {"x": [1]}), 409)


async def test_a_version_is_registered_once_for_each_key(database: str, tmp_path: Path) -> None:
    body = {"artifacts": {"model": DIGEST}, "metrics": {"r2": 0.5}, "lineage": {}, "run_id": 7, "pipeline": "p"}
    async with api(database, tmp_path, Role.API) as one:
        register = one.client.register_version
        made = [await one.call(register, "m", body, key) for key in ("a", "a", "b")]
        with pytest.raises(ApiError, match="another request"):
            await one.call(register, "m", body | {"run_id": 8}, "a")
        with pytest.raises(ApiError, match="another request"):
            await one.call(register, "other", body, "a")
        path = "/api/v1/models/m/versions"
        assert "Idempotency-Key is missing" in problem(await one.post(path, body), 422)
        key = {"Idempotency-Key": "c"}
        assert "artifacts.model" in problem(await one.post(path, {"artifacts": {"model": "x"}}, headers=key), 422)
        assert "run_id" in problem(await one.post(path, body | {"run_id": 2**63}, headers=key), 422)
        assert "more than 64 bits" in problem(await one.post(path, body | {"run_id": 2**70}, headers=key), 422)
    assert [version["version"] for version in made] == [1, 1, 2]
    assert made[0] == made[1]
    assert (made[0]["state"], made[0]["metrics"]) == ("staging", {"r2": 0.5})


async def test_an_alias_moves_only_from_where_it_was_seen(database: str, tmp_path: Path) -> None:
    body = {"artifacts": {"model": DIGEST}}
    async with api(database, tmp_path, Role.API) as one:
        for key in ("a", "b"):
            await one.call(one.client.register_version, "m", body, key)
        assert await one.call(one.client.alias, "m", "production") is None
        moved = await one.call(one.client.move_alias, "m", "production", 2, None)
        with pytest.raises(ApiError, match=r"points at version 2 already: .* `expect`") as refused:
            await one.call(one.client.move_alias, "m", "production", 1, None)
        assert await one.call(one.client.alias, "m", "production") == moved
        path = "/api/v1/models/m/aliases/production"
        problem(await one.http.put(path, json={"version": 9, "expect": 2}), 404)
        told = "no longer points at version 1, but at version 2: somebody moved it meanwhile"
        assert told in problem(await one.http.put(path, json={"version": 1, "expect": 1}), 409)
        nowhere = await one.http.put("/api/v1/models/m/aliases/other", json={"version": 1, "expect": 2})
        assert "no longer points at version 2, but nowhere" in problem(nowhere, 409)
        problem(await one.http.put(path, json={"version": 0}), 422)
        problem(await one.http.get("/api/v1/models/none"), 404)
    assert refused.value.status == 409
    assert (moved["version"], moved["state"], moved["aliases"]) == (2, "production", ["production"])


@pytest.mark.parametrize("name", ["team/line", "a/versions/1", "/", "%2F", "x/aliases"])
async def test_a_models_name_may_hold_slashes(database: str, tmp_path: Path, name: str) -> None:
    async with api(database, tmp_path, Role.API) as one, AsyncClient(one.daemon.address) as client:
        made = await one.call(one.client.register_version, name, {"artifacts": {"model": DIGEST}}, "a")
        await one.call(one.client.move_alias, name, "best/yet", 1, None)
        assert await client.alias(name, "best/yet") == made | {"aliases": ["best/yet"]}
        assert (await client.version(name, 1))["model"] == name
        assert (await client.aliases(name))["aliases"] == [{"alias": "best/yet", "version": 1}]
        assert [one["version"] for one in (await client.model(name))["versions"]] == [made["version"]]
        with pytest.raises(ApiError, match="production") as refused:
            await client.predict(name, {})
    assert made["model"] == name
    assert refused.value.status == 404
