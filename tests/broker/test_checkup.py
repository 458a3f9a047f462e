"""What `doctor` says of a real broker."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from urllib.parse import urlsplit

from service.catalogue import Catalogue
from service.checkup import broker, daemon
from service.checkup.finding import Verdict
from service.settings import Http, Kafka, Registry, Role, Settings
from stages import Pipeline, stage
from tests.db.daemons import daemon as serving
from tests.db.daemons import settings
from tests.unit.test_schema_registry import Server, server
from triggers import KafkaArrivals, KafkaBatches
from triggers.base import KafkaAccess

__all__ = ["server"]


@stage
def only() -> int:
    return 1


def listening(topic: str) -> Catalogue:
    pipeline = Pipeline("mill", [only], on=[KafkaArrivals(topic), KafkaBatches("checkup-absent")])
    return Catalogue({"mill": pipeline}, {"mill": "tests:mill"})


async def test_the_cluster_is_named_and_a_missing_topic_told_with_who_listens(kafka: str, topic: str) -> None:
    [there, missing] = await broker.check(Settings(kafka=Kafka(bootstrap_servers=kafka)), listening(topic))
    assert (there.verdict, kafka in there.says) == (Verdict.OK, True)
    assert missing.verdict is Verdict.PROBLEM
    assert "checkup-absent, which mill/kafka-batches:checkup-absent listens to" in missing.says
    assert topic not in missing.says


async def test_a_missing_topic_is_no_problem_where_daemons_create_it(kafka: str, topic: str) -> None:
    settings = Settings(kafka=Kafka(bootstrap_servers=kafka, create_topics=True))
    found = await broker.check(settings, listening(topic))
    assert [one.verdict for one in found] == [Verdict.OK, Verdict.WARNING]


async def test_the_broker_that_a_running_daemon_embeds_is_the_one_looked_at(kafka: str, topic: str) -> None:
    for given in (Settings(), Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1"))):
        [there, missing] = await broker.check(given, listening(topic), kafka)
        assert (there.verdict, there.says.endswith(f"at {kafka}, embedded by the daemon that runs")) == (
            Verdict.OK,
            True,
        )
        assert missing.verdict is Verdict.WARNING, "it creates topics"


async def test_a_daemon_tells_of_the_broker_it_embeds(kafka: str, database: str, tmp_path: Path) -> None:
    for given, embeds in ((Kafka(), kafka), (Kafka(bootstrap_servers=kafka), None)):
        own = dataclasses.replace(settings(database, tmp_path, Role.API), kafka=given)
        async with serving(own, kafka=KafkaAccess(kafka)) as one:
            port = urlsplit(one.address).port
            asked = await daemon.check(Settings(http=Http(port=port or 0)))
            assert {one.verdict for one in asked.findings} == {Verdict.OK}
            assert asked.embeds == embeds


def reading(*triggers: KafkaArrivals) -> Catalogue:
    return Catalogue({"mill": Pipeline("mill", [only], on=list(triggers))}, {"mill": "tests:mill"})


async def test_a_missing_topic_for_dead_records_is_told(kafka: str, topic: str) -> None:
    catalogue = reading(KafkaArrivals(topic, dead_letter="checkup-dead"))
    [_, missing] = await broker.check(Settings(kafka=Kafka(bootstrap_servers=kafka)), catalogue)
    assert (missing.verdict, "topic checkup-dead, which" in missing.says) == (Verdict.PROBLEM, True)
    assert "(for dead records)" in missing.says


async def test_triggers_that_read_a_topic_differently_are_told(kafka: str, topic: str) -> None:
    catalogue = reading(KafkaArrivals(topic), KafkaArrivals(topic, name="other", value="text"))
    [found] = await broker.check(Settings(kafka=Kafka(bootstrap_servers=kafka)), catalogue)
    assert (found.verdict, "so let them agree" in found.says) == (Verdict.PROBLEM, True)


async def test_the_schema_registry_is_asked_where_a_trigger_needs_it(kafka: str, topic: str, server: Server) -> None:
    catalogue, there = reading(KafkaArrivals(topic, value="registry")), Kafka(bootstrap_servers=kafka)
    [_, none] = await broker.check(Settings(kafka=there), catalogue)
    assert (none.verdict, none.advice) == (Verdict.PROBLEM, "set TIDEMILL_REGISTRY_URL")
    given = Settings(kafka=there, registry=Registry(url=server.url))
    [_, fine] = await broker.check(given, catalogue)
    assert (fine.verdict, fine.says) == (Verdict.OK, f"answers at {server.url}")
    server.login = "Basic somebody"
    [_, refused] = await broker.check(given, catalogue)
    assert (refused.verdict, "refuses us (401)" in refused.says) == (Verdict.PROBLEM, True)
