"""The flights pipelines and the stages they are built on, in a whole daemon on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from examples.flights.data import month_of_flights
from examples.flights.feed import records_of, write_month
from examples.flights.live import features as live_features
from examples.flights.live import flights_live, ingest, monitor
from examples.flights.pipeline import flights
from service.db.registry import PostgresRegistry
from service.db.votes import DecideGate
from service.model import RunState
from stages import AliasMoved, Record, Records, StageContext
from stages.canonical.deploy import Deployment, deploy_version
from stages.canonical.register import RegisteredVersion, register_version
from stages.codecs.base import Scratch, decode
from tests.db.daemons import attempts, daemon, reached, settings, start
from tests.db.writing import rows
from triggers.base import KafkaAccess

# Importing scikit-learn holds up the loop for a good part of the lease that other tests use.
PATIENT_S = 30.0
UNUSED = KafkaAccess("127.0.0.1:9")
SIX = ["ingest", "features", "train", "evaluate", "register", "deploy"]
MARCH_FLIGHT = {"carrier": "UA", "origin": "EWR", "distance": 1400, "dep_delay": 60, "month": 3, "day": 1, "hour": 9}


def context(registry: PostgresRegistry, key: str, **digests: str) -> StageContext:
    return StageContext(
        run_id=1,
        pipeline="flights",
        stage="tests",
        attempt=1,
        idempotency_key=key,
        artifact_digests=digests,
        registry=registry,
    )


async def story(database: str) -> list[tuple[str, str, str]]:
    gates = await rows(database, "select gate, state, reason from gates where state = 'failed'")
    tried = await rows(database, "select stage, state, failure from attempts where failure is not null")
    return [tuple(map(str, row)) for row in (*gates, *tried)]


@asynccontextmanager
async def registry_on(database: str, folder: Path) -> AsyncIterator[PostgresRegistry]:
    async with daemon(settings(database, folder)) as one:
        yield one.registry


async def registered(registry: PostgresRegistry, key: str) -> RegisteredVersion:
    digests = {"train": f"model of {key}", "features": "some features"}
    return await register_version(context(registry, key, **digests), "m", model_input="train", metrics={"r2": 0.9})


async def test_a_file_becomes_a_model_that_waits_for_approval_and_is_then_served(database: str, tmp_path: Path) -> None:
    path = await asyncio.to_thread(write_month, 1, tmp_path / "landing" / "flights")
    async with daemon(settings(database, tmp_path, lease_s=PATIENT_S), flights, kafka=UNUSED) as one:
        run = await start(one, "flights", "1", {"path": str(path)}, landing=str(tmp_path / "landing"))
        assert await reached(one, run, RunState.WAITING, RunState.FAILED) is RunState.WAITING, await story(database)
        assert [stage for stage, _, _ in await attempts(one, run)] == SIX[:5]
        assert await one.registry.alias("flights", "production") is None

        decision = DecideGate(run, "flights", "register-deploy", "approved", "ml-leads")
        assert all(await one.writer.submit(decision))
        assert await reached(one, run) is RunState.SUCCEEDED
        assert await attempts(one, run) == [(stage, 1, "succeeded") for stage in SIX]

        version = await one.registry.alias("flights", "production")
        assert version is not None
        assert (version.version, version.state, version.run_id) == (1, "production", run)
        assert version.lineage.keys() == {"ingest", "features", "train", "evaluate"}
        assert version.metrics["r2"] > 0.8
        with Scratch() as scratch:
            model = decode("skops", await one.store.get(version.artifacts["model"]), None, scratch)
    assert flights.serve is not None
    [answer] = flights.serve(model, MARCH_FLIGHT)["predictions"]
    assert 30 < answer["arr_delay"] < 75


async def test_live_flights_are_held_against_the_model_in_production(database: str, tmp_path: Path) -> None:
    values = records_of(month_of_flights(1).head(100))
    batch = live_features(ingest(Records([Record("t", 0, at, 0, None, value) for at, value in enumerate(values)])))
    async with registry_on(database, tmp_path) as registry:
        alone = await monitor(batch, context(registry, "1"))
        assert (alone.flights, alone.version, alone.drift) == (100, None, {})
        made = await register_version(
            context(registry, "r", train="model"),
            "flights",
            model_input="train",
            metrics={"dep_delay.mean": -1000.0, "dep_delay.std": 10.0, "distance.mean": 1000.0, "distance.std": 700.0},
        )
        await deploy_version(context(registry, "d"), made, alias="production")
        told = await monitor(batch, context(registry, "2"))
    assert (told.version, told.drifted) == (1, ["dep_delay"])
    assert told.drift["dep_delay"] > 90
    assert [stage.name for stage in flights_live.stages] == ["ingest", "features", "monitor"]


async def test_registering_again_with_the_same_key_makes_no_second_version(database: str, tmp_path: Path) -> None:
    async with registry_on(database, tmp_path) as registry:
        first, again = [await registered(registry, "a") for _ in range(2)]
        other = await registered(registry, "b")
    assert first == again == RegisteredVersion(model="m", version=1, state="staging")
    assert other.version == 2
    [row, _] = await rows(database, "select * from model_versions order by version")
    assert orjson.loads(row["artifacts"]) == {"model": "model of a"}
    assert orjson.loads(row["lineage"]) == {"train": "model of a", "features": "some features"}


async def test_a_deployment_repeated_after_a_later_one_does_not_undo_it(database: str, tmp_path: Path) -> None:
    async with registry_on(database, tmp_path) as registry:
        old, new = await registered(registry, "a"), await registered(registry, "b")
        ctx = context(registry, "d")
        first = await deploy_version(ctx, old, alias="production")
        again = await deploy_version(ctx, old, alias="production")
        later = await deploy_version(ctx, new, alias="production")
        late = await deploy_version(ctx, old, alias="production")
        seen = await registry.alias("m", "production")
    at = {"model": "m", "alias": "production"}
    assert first == Deployment(**at, version=1, replaced=None, moved=True)
    assert again == Deployment(**at, version=1, replaced=1, moved=True)
    assert later == Deployment(**at, version=2, replaced=1, moved=True)
    assert late == Deployment(**at, version=2, replaced=None, moved=False)
    assert seen is not None
    assert (seen.version, seen.state) == (2, "production")


async def test_two_deployments_at_once_leave_the_newer_or_ask_to_try_again(database: str, tmp_path: Path) -> None:
    async with registry_on(database, tmp_path) as registry:
        versions = [await registered(registry, key) for key in "abcd"]
        deploying = (deploy_version(context(registry, "d"), one, alias="production") for one in versions)
        found = await asyncio.gather(*deploying, return_exceptions=True)
        assert all(isinstance(one, Deployment | AliasMoved) for one in found)
        assert any(isinstance(one, Deployment) for one in found)
        for _ in versions:
            await deploy_version(context(registry, "d"), versions[-1], alias="production")
        seen = await registry.alias("m", "production")
    assert seen is not None
    assert seen.version == 4


async def test_a_model_no_better_than_a_rule_of_thumb_is_held_back(database: str, tmp_path: Path) -> None:
    path = await asyncio.to_thread(write_month, 5, tmp_path / "landing")
    async with daemon(settings(database, tmp_path, lease_s=PATIENT_S), flights, kafka=UNUSED) as one:
        run = await start(one, "flights", "1", {"path": str(path)}, landing=str(tmp_path / "landing"))
        assert await reached(one, run, RunState.WAITING, RunState.FAILED) is RunState.FAILED
        assert [stage for stage, _, _ in await attempts(one, run)] == SIX[:4]
    [gate] = await rows(database, "select * from gates where gate = 'evaluate-register'")
    assert "as late as it left" in gate["reason"]
