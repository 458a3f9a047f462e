"""The broker: reachable, and with the topics that triggers name."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING

from service.catalogue import Catalogue
from service.checkup.finding import Finding, fine, problem, warning
from service.errors import BrokerUnavailable, ConfigError
from service.kafka_access import kafka_access, registry_access
from service.settings import Broker, Settings
from triggers.base import KafkaAccess
from triggers.errors import InvalidTrigger, SourceUnavailable
from triggers.kafka import KafkaArrivals, check_agreement

if TYPE_CHECKING:
    from triggers.kafka.client import Sight


async def check(settings: Settings, catalogue: Catalogue, embedded: str | None = None) -> list[Finding]:
    """Ask the brokers that are configured; where a daemon runs that has one `embedded`, that one. Creates no topic."""
    try:
        access = _embedded_access(embedded, settings) if embedded else kafka_access(settings)
    except ConfigError as error:
        return [problem("broker", str(error))]
    try:
        check_agreement(one for one in catalogue.bindings() if one.trigger.kind == KafkaArrivals.kind)
    except InvalidTrigger as error:
        return [problem("broker", str(error))]
    topics = listened_to(catalogue)
    if access is None:
        return [await _none_set(topics, settings)]
    from triggers.kafka.client import TROUBLE, trouble_note

    try:
        sight = await _look(access, list(topics))
    except TROUBLE as error:
        advice = "see the log of the daemon" if embedded else "start it, or check TIDEMILL_KAFKA_BOOTSTRAP_SERVERS"
        return [problem("broker", trouble_note(access, error), advice)]
    whose = ", embedded by the daemon that runs" if embedded else ""
    found = [fine("broker", f"cluster {sight.cluster} at {access.bootstrap_servers}{whose}")]
    found += await _registry(access, catalogue)
    creates = access.create_topics or settings.kafka.create_topics
    for topic, reason in sight.absent.items():
        found.append(_absent(topic, reason.__name__, topics[topic], creates=creates))
    return found


def _embedded_access(address: str, settings: Settings) -> KafkaAccess:
    return KafkaAccess(address, create_topics=True, registry=registry_access(settings.registry))


def listened_to(catalogue: Catalogue) -> dict[str, list[str]]:
    """The topics that triggers name, and the bindings that do."""
    topics: defaultdict[str, list[str]] = defaultdict(list)
    for binding in catalogue.bindings():
        if binding.trigger.kind.startswith("kafka"):
            topics[binding.trigger.topic].append(binding.name)
            if getattr(binding.trigger, "dead_letter", None) is not None:
                topics[binding.trigger.dead_letter].append(f"{binding.name} (for dead records)")
    return dict(topics)


async def _registry(access: KafkaAccess, catalogue: Catalogue) -> list[Finding]:
    """The schema registry, where a trigger reads by its schemas."""
    readers = [one for one in catalogue.bindings() if getattr(one.trigger, "value", None) == "registry"]
    if not readers:
        return []
    if access.registry is None:
        return [problem("registry", f"none is set, but {readers[0].name} needs one", "set TIDEMILL_REGISTRY_URL")]
    from triggers.schemas.registry import SchemaRegistry, check_packages

    try:
        check_packages(readers[0].name)
        await SchemaRegistry(access.registry).check()
    except (InvalidTrigger, SourceUnavailable) as error:
        return [problem("registry", str(error))]
    return [fine("registry", f"answers at {access.registry.url}")]


async def _look(access: KafkaAccess, topics: list[str]) -> Sight:
    from triggers.kafka.client import BrokerLink

    link = BrokerLink(access)
    await link.open()
    try:
        return await link.look(topics)
    finally:
        await link.close()


async def _none_set(topics: dict[str, list[str]], settings: Settings) -> Finding:
    if settings.database.url is None:
        return await _embedded(settings)
    if not topics:
        return fine("broker", "none is set, and no trigger needs one")
    listeners = ", ".join(name for names in topics.values() for name in names)
    return problem("broker", f"none is set, but {listeners} listen to Kafka", "set TIDEMILL_KAFKA_BOOTSTRAP_SERVERS")


async def _embedded(settings: Settings) -> Finding:
    """Which one `tidemill up` embeds. Fetches nothing."""
    from service.embedded.apache import FOLDER
    from service.embedded.apache_jars import find

    kept = settings.home.absolute() / FOLDER
    if settings.kafka.embedded is Broker.TANSU:
        more = f"; what is in {kept} is for `--kafka apache`" if (kept / "data").exists() else ""
        return fine("broker", f"none is set: `tidemill up` embeds Tansu, which forgets all when it stops{more}")
    try:
        source = await find(kept, os.environ)
    except BrokerUnavailable as error:
        return problem("broker", str(error))
    return fine("broker", f"none is set: `tidemill up` embeds {source}, and keeps its records in {kept}")


def _absent(topic: str, error: str, listeners: list[str], *, creates: bool) -> Finding:
    says = f"topic {topic}, which {', '.join(listeners)} listens to: {error}"
    if creates:
        return warning("broker", says, "the next daemon creates it")
    return problem("broker", says, "create it, or set TIDEMILL_KAFKA_CREATE_TOPICS=true")
