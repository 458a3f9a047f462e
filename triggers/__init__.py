"""Ground floor: what can start a run. Knows no pipeline and no database.

What a pipeline file needs is importable from here; each name is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triggers.adapters import AsCloudEvent
    from triggers.approval import Approval
    from triggers.cloudevents import CloudEvents
    from triggers.coalesce import Batch, Latest
    from triggers.continuous.kinesis import KinesisBatches
    from triggers.continuous.pulsar import PulsarBatches
    from triggers.event import Event
    from triggers.files import Files
    from triggers.kafka import KafkaArrivals, KafkaBatches
    from triggers.manual import Manual
    from triggers.objects import ObjectNotices, Objects, ObjectTopic
    from triggers.objects.senders import SNS, GooglePush
    from triggers.providers import Bitbucket, Buildkite, CircleCI, Gitea, GitLab, Jenkins
    from triggers.rate import RateLimit
    from triggers.reports import GitHubStatus, GitLabStatus
    from triggers.schedule import Cron, Every, QuartzCron
    from triggers.schedule.calendars import Calendar
    from triggers.signatures import HMAC, Bearer, GitHub, StandardWebhooks
    from triggers.stream import StreamFeatures
    from triggers.stream.aggregates import Aggregate, Count, Max, Mean, Min, Sum
    from triggers.webhook import Webhook

__all__ = [
    "HMAC",
    "SNS",
    "Aggregate",
    "Approval",
    "AsCloudEvent",
    "Batch",
    "Bearer",
    "Bitbucket",
    "Buildkite",
    "Calendar",
    "CircleCI",
    "CloudEvents",
    "Count",
    "Cron",
    "Event",
    "Every",
    "Files",
    "GitHub",
    "GitHubStatus",
    "GitLab",
    "GitLabStatus",
    "Gitea",
    "GooglePush",
    "Jenkins",
    "KafkaArrivals",
    "KafkaBatches",
    "KinesisBatches",
    "Latest",
    "Manual",
    "Max",
    "Mean",
    "Min",
    "ObjectNotices",
    "ObjectTopic",
    "Objects",
    "PulsarBatches",
    "QuartzCron",
    "RateLimit",
    "StandardWebhooks",
    "StreamFeatures",
    "Sum",
    "Webhook",
]

_HOMES = {
    "HMAC": "signatures",
    "SNS": "objects.senders",
    "Aggregate": "stream.aggregates",
    "Approval": "approval",
    "AsCloudEvent": "adapters",
    "Batch": "coalesce",
    "Bearer": "signatures",
    "Bitbucket": "providers",
    "Buildkite": "providers",
    "Calendar": "schedule.calendars",
    "CircleCI": "providers",
    "CloudEvents": "cloudevents",
    "Count": "stream.aggregates",
    "Cron": "schedule",
    "Event": "event",
    "Every": "schedule",
    "Files": "files",
    "GitHub": "signatures",
    "GitHubStatus": "reports",
    "GitLab": "providers",
    "GitLabStatus": "reports",
    "Gitea": "providers",
    "GooglePush": "objects.senders",
    "Jenkins": "providers",
    "KafkaArrivals": "kafka",
    "KafkaBatches": "kafka",
    "KinesisBatches": "continuous.kinesis",
    "Latest": "coalesce",
    "Manual": "manual",
    "Max": "stream.aggregates",
    "Mean": "stream.aggregates",
    "Min": "stream.aggregates",
    "ObjectNotices": "objects",
    "ObjectTopic": "objects",
    "Objects": "objects",
    "QuartzCron": "schedule",
    "PulsarBatches": "continuous.pulsar",
    "RateLimit": "rate",
    "StandardWebhooks": "signatures",
    "StreamFeatures": "stream",
    "Sum": "stream.aggregates",
    "Webhook": "webhook",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'triggers' has no attribute {name!r}: known are {', '.join(__all__)}")
    globals()[name] = found = getattr(import_module(f"triggers.{home}"), name)
    return found
