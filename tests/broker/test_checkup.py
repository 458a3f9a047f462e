"""What `doctor` says of a real broker."""

from __future__ import annotations

from service.catalogue import Catalogue
from service.checkup import broker
from service.checkup.finding import Verdict
from service.settings import Kafka, Settings
from stages import Pipeline, stage
from triggers import KafkaArrivals, KafkaBatches


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
