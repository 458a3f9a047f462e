"""Ground floor: what can start a run. Knows no pipeline and no database.

What a pipeline file needs is importable from here; each name is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triggers.adapters import AsCloudEvent
    from triggers.aggregates import Aggregate, Count, Max, Mean, Min, Sum
    from triggers.approval import Approval
    from triggers.calendars import Calendar
    from triggers.cloudevents import CloudEvents
    from triggers.coalesce import Batch, Latest
    from triggers.event import Event
    from triggers.files import Files
    from triggers.kafka import KafkaArrivals, KafkaBatches
    from triggers.kinesis import KinesisBatches
    from triggers.manual import Manual
    from triggers.object_senders import SNS, GooglePush
    from triggers.objects import ObjectNotices, Objects, ObjectTopic
    from triggers.providers import Bitbucket, Buildkite, CircleCI, Gitea, GitLab, Jenkins
    from triggers.pulsar import PulsarBatches
    from triggers.rate import RateLimit
    from triggers.reports import GitHubStatus, GitLabStatus
    from triggers.schedule import Cron, Every, QuartzCron
    from triggers.signatures import HMAC, Bearer, GitHub, StandardWebhooks
    from triggers.stream import StreamFeatures
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
    "SNS": "object_senders",
    "Aggregate": "aggregates",
    "Approval": "approval",
    "AsCloudEvent": "adapters",
    "Batch": "coalesce",
    "Bearer": "signatures",
    "Bitbucket": "providers",
    "Buildkite": "providers",
    "Calendar": "calendars",
    "CircleCI": "providers",
    "CloudEvents": "cloudevents",
    "Count": "aggregates",
    "Cron": "schedule",
    "Event": "event",
    "Every": "schedule",
    "Files": "files",
    "GitHub": "signatures",
    "GitHubStatus": "reports",
    "GitLab": "providers",
    "GitLabStatus": "reports",
    "Gitea": "providers",
    "GooglePush": "object_senders",
    "Jenkins": "providers",
    "KafkaArrivals": "kafka",
    "KafkaBatches": "kafka",
    "KinesisBatches": "kinesis",
    "Latest": "coalesce",
    "Manual": "manual",
    "Max": "aggregates",
    "Mean": "aggregates",
    "Min": "aggregates",
    "ObjectNotices": "objects",
    "ObjectTopic": "objects",
    "Objects": "objects",
    "QuartzCron": "schedule",
    "PulsarBatches": "pulsar",
    "RateLimit": "rate",
    "StandardWebhooks": "signatures",
    "StreamFeatures": "stream",
    "Sum": "aggregates",
    "Webhook": "webhook",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'triggers' has no attribute {name!r}: known are {', '.join(__all__)}")
    globals()[name] = found = getattr(import_module(f"triggers.{home}"), name)
    return found
