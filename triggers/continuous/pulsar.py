"""What can be listened to on Apache Pulsar: micro-batches of a topic. Nothing here imports a client."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from triggers.continuous.shards import StreamBatches
from triggers.errors import InvalidTrigger
from triggers.secret import check

_TOPIC = re.compile(r"(persistent://[\w.=:-]+/[\w.=:-]+/)?[\w.=:%-]+")
_SERVICE = re.compile(r"pulsar(\+ssl)?://[^\s/]+/?")


@dataclass(frozen=True)
class PulsarBatches(StreamBatches):
    """Micro-batches of the topic `stream`: the settings are those of `MicroBatches`, and each event says which message
    ids of which partition. It reads as a reader does, without a subscription: nothing is acknowledged at the broker.

    `token` is text, `env:NAME` or `file:/path`; `ca_file` the certificates that the broker's must come from. `cluster`
    names the cluster in identities, where its address may change.
    """

    kind: ClassVar[str] = "pulsar-batches"
    family: ClassVar[str] = "pulsar"
    module: ClassVar[str] = "triggers.continuous.pulsar_source"
    needs: ClassVar[str] = "pulsar-client"

    stream: str  # type: ignore[misc]
    service: str = field(default="pulsar://127.0.0.1:6650", kw_only=True)
    token: str | None = field(default=None, kw_only=True, repr=False)
    ca_file: str | None = field(default=None, kw_only=True)
    cluster: str = field(default="", kw_only=True)

    def default_name(self) -> str:
        return f"pulsar-batches:{self.stream}"

    def __post_init__(self) -> None:
        if not isinstance(self.stream, str) or not _TOPIC.fullmatch(self.stream):
            raise InvalidTrigger(
                f"PulsarBatches({self.stream!r}): not a topic: give its name, or persistent://TENANT/NAMESPACE/NAME"
            )
        if not isinstance(self.service, str) or not _SERVICE.fullmatch(self.service):
            said = f"PulsarBatches({self.stream!r}): service={self.service!r}"
            raise InvalidTrigger(f"{said}: give pulsar://HOST:PORT, or pulsar+ssl://HOST:PORT for TLS")
        if self.token is not None:
            check(self.token, f"PulsarBatches({self.stream!r}): token")
        super().__post_init__()
