"""The sinks a daemon has: those of its settings and those that its pipelines' webhooks ask for."""

from __future__ import annotations

from service.catalogue import Catalogue
from service.errors import ConfigError
from service.settings import Settings
from service.sinks.base import Sink
from triggers.base import KafkaAccess
from triggers.webhook import Webhook


def make_sinks(settings: Settings, catalogue: Catalogue, kafka: KafkaAccess | None, installation: str) -> list[Sink]:
    """Every sink, none of them connected. Raises `ConfigError`, and `InvalidTrigger` for a token that is missing."""
    lifecycle = settings.lifecycle
    sinks = _statuses(catalogue)
    if lifecycle.topic is not None:
        if kafka is None:
            raise ConfigError("lifecycle.topic is set, and no broker is: set TIDEMILL_KAFKA_BOOTSTRAP_SERVERS")
        from service.sinks.kafka_events import KafkaEvents

        sinks.append(KafkaEvents(installation, kafka, lifecycle.topic, lifecycle.mode))
    if lifecycle.url is not None:
        from service.sinks.lifecycle import HttpEvents

        sinks.append(HttpEvents(installation, lifecycle.url, lifecycle.token, lifecycle.mode))
    return sinks


def _statuses(catalogue: Catalogue) -> list[Sink]:
    sinks: list[Sink] = []
    for binding in catalogue.bindings(Webhook):
        if binding.trigger.report is not None:
            from service.sinks.statuses import StatusSink

            binding.trigger.report.check()
            sinks.append(StatusSink(binding, binding.trigger.report))
    return sinks
