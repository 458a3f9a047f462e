from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.catalogue import Catalogue
from service.checkup import artifacts, broker, database, ledger, pipelines, triggers
from service.checkup.clock import Skew, clock
from service.checkup.finding import Finding, Verdict
from service.db.facts import DatabaseFacts
from service.settings import Artifacts, Broker, Database, Kafka, Settings
from stages import Pipeline, stage
from triggers import Every, Files, GitHub, KafkaArrivals, Objects, Webhook
from triggers.base import Trigger

SECRET = GitHub(secret="env:CHECKUP_SECRET")


@stage
def only() -> int:
    return 1


def listening(*on: Trigger) -> Catalogue:
    return Catalogue({"mill": Pipeline("mill", [only], on=on)}, {"mill": "tests:mill"})


def told(findings: list[Finding], verdict: Verdict) -> str:
    return "\n".join(f"{one.says}: {one.advice}" for one in findings if one.verdict is verdict)


def facts(**changed: object) -> DatabaseFacts:
    good = {"version": "18.1", "version_number": 180_001, "undurable": (), "standby": False, "may_create": True}
    good |= {"missing": (), "ahead": (), "too_old": "", "skew_s": 0.0, "unsure_s": 0.001}
    return DatabaseFacts(**{**good, **changed})  # type: ignore[arg-type]


def test_a_bucket_that_cannot_be_listed_is_complained_of() -> None:
    keys = {"access_key_id": "k", "secret_access_key": "s"}
    away = Objects("s3://bucket/*", endpoint="http://127.0.0.1:1", region="eu-west-1", options=keys)
    found = triggers.check(Settings(), listening(away, Objects("memory://here/*")))
    assert [one.verdict for one in found] == [Verdict.WARNING]
    assert "mill/objects:s3://bucket/*: s3://bucket: it does not answer: check endpoint=" in told(
        found, Verdict.WARNING
    )


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"version": "14.9", "version_number": 140_009}, "use version 15 or later"),
        ({"standby": True}, "name the primary"),
        ({"undurable": ("fsync=off",)}, "fsync=off: a crash loses acknowledged events"),
        ({"too_old": "upgrade tidemill"}, "upgrade tidemill"),
        ({"missing": ("0001_spine",)}, "run `tidemill migrate`"),
        ({"missing": ("0001_spine",), "may_create": False}, "as a user who may"),
    ],
)
def test_a_server_that_will_not_do_is_a_problem_with_advice(changed: dict[str, object], says: str) -> None:
    found = [*database._server(facts(**changed)), *database._schema(facts(**changed), migrates=False)]
    assert says in told(found, Verdict.PROBLEM)


def test_a_server_that_will_do_is_not_complained_of() -> None:
    assert [*database._server(facts()), *database._schema(facts(), migrates=True)] == []
    [lacking] = database._schema(facts(missing=("0001_spine",)), migrates=True)
    assert lacking.verdict is Verdict.WARNING
    [ahead] = database._schema(facts(ahead=("0099_more",)), migrates=True)
    assert (ahead.verdict, "by 0099_more, which it can do without" in ahead.says) == (Verdict.WARNING, True)


@pytest.mark.parametrize(
    ("skew_s", "verdict"),
    [(0.9, Verdict.OK), (-1.5, Verdict.WARNING), (59, Verdict.WARNING), (61, Verdict.PROBLEM)],
)
def test_clocks_may_differ_by_a_second(skew_s: float, verdict: Verdict) -> None:
    assert clock(Skew(skew_s, 0.0)).verdict is verdict


def test_a_slow_answer_is_not_taken_for_a_wrong_clock() -> None:
    before = datetime(2026, 1, 1, tzinfo=UTC)
    skew = Skew.between(before, before + timedelta(seconds=9), before + timedelta(seconds=10))
    assert (skew.ahead_s, skew.unsure_s) == (4, 5)
    assert clock(skew).verdict is Verdict.OK


def test_a_missing_secret_is_a_problem_and_a_missing_folder_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHECKUP_SECRET", raising=False)
    catalogue = listening(Webhook("ci", verify=SECRET), Files("landing/*.csv"), Every(60.0))
    found = triggers.check(Settings(root=tmp_path), catalogue)
    assert "'CHECKUP_SECRET' is not set" in told(found, Verdict.PROBLEM)
    assert f"folder {tmp_path}/landing does not exist yet" in told(found, Verdict.WARNING)
    monkeypatch.setenv("CHECKUP_SECRET", "s")
    (tmp_path / "landing").touch()
    found = triggers.check(Settings(root=tmp_path), catalogue)
    assert f"{tmp_path}/landing is a file, and no folder to look in" in told(found, Verdict.WARNING)
    (tmp_path / "landing").unlink()
    (tmp_path / "landing").mkdir()
    assert {one.verdict for one in triggers.check(Settings(root=tmp_path), catalogue)} == {Verdict.OK}


def test_two_ways_to_verify_one_hook_are_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHECKUP_SECRET", "s")
    catalogue = listening(Webhook("ci", verify=SECRET), Webhook("ci", verify=GitHub(secret="other"), name="two"))
    assert "differently" in told(triggers.check(Settings(root=tmp_path), catalogue), Verdict.PROBLEM)


async def test_a_trigger_on_kafka_without_a_broker_is_a_problem_unless_one_is_embedded() -> None:
    catalogue = listening(KafkaArrivals("arrivals"))
    outside = Settings(database=Database(url="postgresql://nowhere/x"))
    assert "mill/kafka:arrivals" in told(await broker.check(outside, catalogue), Verdict.PROBLEM)
    assert told(await broker.check(Settings(), catalogue), Verdict.PROBLEM) == ""


async def test_which_broker_is_embedded_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [tansu] = await broker.check(Settings(home=tmp_path), listening())
    assert tansu.says == "none is set: `tidemill up` embeds Tansu, which forgets all when it stops"
    (tmp_path / "apache-kafka/data").mkdir(parents=True)
    [tansu] = await broker.check(Settings(home=tmp_path), listening())
    assert tansu.says.endswith(f"; what is in {tmp_path}/apache-kafka is for `--kafka apache`")
    chosen = Settings(home=tmp_path, kafka=Kafka(embedded=Broker.APACHE))
    for name in ("JAVA_HOME", "KAFKA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "needs Java 17 or later" in told(await broker.check(chosen, listening()), Verdict.PROBLEM)
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"21\"' >&2\n")
    java.chmod(0o700)
    (tmp_path / "apache-kafka/libs-4.4.0").mkdir()
    [apache] = await broker.check(chosen, listening())
    assert apache.verdict is Verdict.OK
    assert "`tidemill up` embeds Apache Kafka 4.4.0, from" in apache.says


async def test_a_broker_that_does_not_answer_is_a_problem() -> None:
    settings = Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1"))
    [found] = await broker.check(settings, listening())
    assert (found.verdict, found.about) == (Verdict.PROBLEM, "broker")
    assert "127.0.0.1:1 does not answer" in found.says


async def test_a_database_that_does_not_answer_is_a_problem() -> None:
    [found] = await database.check(Settings(database=Database(url="postgresql://u:secret@127.0.0.1:1/x")))
    assert found.verdict is Verdict.PROBLEM
    assert "127.0.0.1:1/x" in found.says
    assert "secret" not in found.says


async def test_an_address_that_cannot_be_used_is_said_to_be_checked_once() -> None:
    settings = Settings(database=Database(url="postgresql://u:sec/ret@127.0.0.1/x"))
    for [found] in (await database.check(settings), [one async for one in ledger.check(settings)]):
        assert f"{found.says}: {found.advice}".count("check TIDEMILL_DATABASE_URL") == 1
        assert "quote / and @" in found.says
        assert "'sec" not in found.says


async def test_the_artifact_store_is_probed_and_left_as_it_was(tmp_path: Path) -> None:
    [found] = await artifacts.check(Settings(artifacts=Artifacts(url=tmp_path.as_uri())))
    assert found.verdict is Verdict.OK
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_an_artifact_store_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    [found] = await artifacts.check(Settings(artifacts=Artifacts(url=(tmp_path / "file").as_uri())))
    assert found.verdict is Verdict.PROBLEM
    assert "TIDEMILL_ARTIFACTS" in found.says


def test_pipelines_that_do_not_load_are_told_and_the_others_kept() -> None:
    settings = Settings(pipelines=("tests.unit.trial:trial", "tests.unit.trial:none", "no.such:thing"))
    catalogue, found = pipelines.load(settings)
    assert list(catalogue.pipelines) == ["trial"]
    problems = told(found, Verdict.PROBLEM)
    assert "tests.unit.trial:none" in problems
    assert "there is no module 'no'" in problems
    assert "5 stages" in told(found, Verdict.OK)
