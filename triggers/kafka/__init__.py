"""What can be listened to on Kafka: each record as an event, or micro-batches of a topic as events.

Nothing here imports a Kafka client: a pipeline file that declares a trigger loads without one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from triggers.base import Binding, Trigger
from triggers.errors import InvalidTrigger
from triggers.micro_batches import MicroBatches
from triggers.micro_batches import Start as Start
from triggers.ranges import Isolation
from triggers.route import BATCH, KAFKA, Route

Format = Literal["json", "text", "bytes", "registry"]

_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_STARTS = ("earliest", "latest")
_FORMATS = ("json", "text", "bytes", "registry")


@dataclass(frozen=True)
class KafkaArrivals(Trigger):
    """Every record of `topic` is one event: the CloudEvent it carries, or the record itself.

    `value` says what the value of a record that is no CloudEvent holds: `json`, `text`, `bytes`, or `registry`, which
    is Avro, Protobuf or JSON framed for a schema registry. A record that cannot be read so is a dead event, with its
    bytes, and goes on to the topic `dead_letter` where one is named. `start` says where a partition is begun that was
    never read before. All such triggers of a daemon share one consumer: a topic that any of them wants from the
    `earliest` record is read from there.
    """

    kind: ClassVar[str] = "kafka-arrivals"
    host: ClassVar[str | None] = "triggers.kafka.arrivals:ArrivalsListener"

    topic: str
    start: Start = field(default="earliest", kw_only=True)
    value: Format = field(default="json", kw_only=True)
    dead_letter: str | None = field(default=None, kw_only=True)

    def default_name(self) -> str:
        return f"kafka:{self.topic}"

    @property
    def ear(self) -> str | None:
        """Its topic."""
        return f"topic {self.topic}"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It reads its topic."""
        return None if (route.kind, route.target) == (KAFKA, self.topic) else f"it reads the topic {self.topic}"

    def __post_init__(self) -> None:
        check_topic(self.topic, self.start, "KafkaArrivals")
        if not isinstance(self.value, str) or self.value not in _FORMATS:
            raise InvalidTrigger(
                f"KafkaArrivals({self.topic!r}): value={self.value!r} is none of {', '.join(_FORMATS)}"
            )
        if self.dead_letter is not None:
            check_topic(self.dead_letter, self.start, f"KafkaArrivals({self.topic!r}) dead_letter=")
            if self.dead_letter == self.topic:
                raise InvalidTrigger(
                    f"KafkaArrivals({self.topic!r}): dead_letter is the topic itself: name another one"
                )
        super().__post_init__()


@dataclass(frozen=True)
class KafkaBatches(MicroBatches):
    """Micro-batches of a topic: the settings are those of `MicroBatches`, and each event carries an `OffsetRange`.

    `isolation="read_uncommitted"` also takes records of transactions that are open or were aborted.
    """

    kind: ClassVar[str] = "kafka-batches"
    host: ClassVar[str | None] = "triggers.kafka.batches:BatchesListener"

    topic: str
    isolation: Isolation = field(default="read_committed", kw_only=True)

    def default_name(self) -> str:
        return f"kafka-batches:{self.topic}"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It makes its own events of many records."""
        mine = (route.kind, route.target) == (BATCH, self.topic)
        return None if mine else f"it makes events of many records each, out of the topic {self.topic}"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_topic(self.topic, self.start, "KafkaBatches")
        self._one_of("isolation", get_args(Isolation))


def check_topic(topic: str, start: str, kind: str) -> None:
    """Refuse what is not a topic's name or a place to start. Raises `InvalidTrigger`."""
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        raise InvalidTrigger(
            f"{kind}({topic!r}): not a topic name: use up to 249 letters, digits, dots, underscores and hyphens"
        )
    if not isinstance(start, str) or start not in _STARTS:
        raise InvalidTrigger(f"{kind}({topic!r}): start={start!r} is neither 'earliest' nor 'latest'")


def check_agreement(bindings: Iterable[Binding]) -> None:
    """Refuse triggers that read the records of one topic as different events. Raises `InvalidTrigger`."""
    first: dict[str, Binding] = {}
    for binding in bindings:
        other = first.setdefault(binding.trigger.topic, binding)
        if other.trigger.value != binding.trigger.value:
            raise InvalidTrigger(
                f"{other.name} reads topic {binding.trigger.topic!r} with value={other.trigger.value!r}, "
                f"{binding.name} with value={binding.trigger.value!r}: a record is one event, so let them agree"
            )
