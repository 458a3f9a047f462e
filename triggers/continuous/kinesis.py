"""What can be listened to on Amazon Kinesis: micro-batches of a data stream. Nothing here imports a client."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from triggers.continuous.shards import StreamBatches
from triggers.errors import InvalidTrigger

_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ENDPOINT = re.compile(r"https?://[^\s/?#]+(/\S*)?")
_STREAM = re.compile(r"[a-zA-Z0-9_.-]{1,128}")


@dataclass(frozen=True)
class KinesisBatches(StreamBatches):
    """Micro-batches of the data stream `stream`: the settings are those of `MicroBatches`, and each event says which
    sequence numbers of which shard.

    Credentials and region are found as the AWS tools find them; `region` and `endpoint` say so otherwise. After the
    stream was resharded, a shard is read once its parents have been read to their ends. Records that the KPL has
    aggregated stay together as one.
    """

    kind: ClassVar[str] = "kinesis-batches"
    family: ClassVar[str] = "kinesis"
    module: ClassVar[str] = "triggers.continuous.kinesis_source"
    needs: ClassVar[str] = "aiobotocore"

    stream: str  # type: ignore[misc]
    region: str | None = field(default=None, kw_only=True)
    endpoint: str | None = field(default=None, kw_only=True)

    def default_name(self) -> str:
        return f"kinesis-batches:{self.stream}"

    def __post_init__(self) -> None:
        if not _STREAM.fullmatch(self.stream):
            raise InvalidTrigger(
                f"KinesisBatches({self.stream!r}): not a stream's name: use up to 128 letters, digits, dots, "
                f"underscores and hyphens, without the ARN"
            )
        if self.region is not None and not (isinstance(self.region, str) and _REGION.fullmatch(self.region)):
            said = f"KinesisBatches({self.stream!r}): region={self.region!r}"
            raise InvalidTrigger(f"{said}: give the name of a region, such as eu-west-1")
        if self.endpoint is not None and not (isinstance(self.endpoint, str) and _ENDPOINT.fullmatch(self.endpoint)):
            said = f"KinesisBatches({self.stream!r}): endpoint={self.endpoint!r}"
            raise InvalidTrigger(f"{said}: give https://HOST, or http://HOST:PORT")
        super().__post_init__()
