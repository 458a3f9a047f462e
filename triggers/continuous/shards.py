"""What triggers on streams of shards have in common. Nothing here imports a client."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from triggers.errors import InvalidTrigger
from triggers.micro_batches import MicroBatches
from triggers.route import STREAM, Route

if TYPE_CHECKING:
    from triggers.continuous import Source


@dataclass(frozen=True, kw_only=True)
class StreamBatches(MicroBatches):
    """Micro-batches of a stream of shards. Another daemon takes a shard over `standby_s` after its reader fell silent.

    `look_s` is how often it is seen which shards there are.
    """

    host: ClassVar[str | None] = "triggers.continuous.listener:StreamsListener"
    family: ClassVar[str]
    module: ClassVar[str]
    needs: ClassVar[str]

    standby_s: float = 10.0
    look_s: float = 10.0

    stream: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._seconds("standby_s", 0.05)
        self._seconds("look_s", 0.05)

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It makes its own events of many records."""
        mine = (route.kind, route.target) == (STREAM, f"{self.family}/{self.stream.rpartition('/')[2]}")
        return None if mine else f"it makes events of many records each, out of the stream {self.stream}"

    async def connect(self) -> Source:
        """Open the stream. Raises `SourceUnavailable`, or `InvalidTrigger` where its client is not installed."""
        try:
            module = import_module(self.module)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in self.needs.replace("-", "_"):
                raise
            raise InvalidTrigger(f"{self.name} needs {self.needs}: install tidemill[{self.family}]") from error
        source: Source = await module.connect(self)
        return source
