"""Streaming features: keyed aggregates over the windows of a topic, each closed window an event.

Nothing here imports Faust or a Kafka client: a pipeline file that declares a trigger loads without them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import ClassVar

from triggers.base import Trigger
from triggers.errors import InvalidTrigger
from triggers.kafka import Start, check_topic
from triggers.numbers import is_number, is_whole
from triggers.route import BATCH, Route
from triggers.stream.aggregates import Aggregate, Count
from triggers.stream.windows import Shape

_LONGEST_WINDOW_S = 31 * 86_400.0
_MOST_ROWS = 10_000
_LEAST_S = 1e-9


@dataclass(frozen=True)
class StreamFeatures(Trigger):
    """Aggregates of `topic` by `key` over windows of `window_s`, each closed window of a partition an event.

    `key` and `time` are paths as in `where`; without `time` a record is of the time that Kafka knows it by. A time is
    RFC 3339 text or seconds since 1970. A window closes once its partition has brought a record that is `grace_s`
    later than its end, or has brought none at all for `idle_s` (None: then it waits). What comes after that is late: it
    is counted and told, and in no window. Every `flush_every_s` the windows that closed become events, of up to
    `max_rows` rows each.

    `where` and `params` see the event of a window, not its records. Produce by the same key as `key`: a key that is in
    several partitions has a row in the event of each.
    """

    kind: ClassVar[str] = "kafka-stream"
    host: ClassVar[str | None] = "triggers.stream.listener:StreamListener"

    topic: str
    key: str
    window_s: float = field(default=60.0, kw_only=True)
    grace_s: float = field(default=10.0, kw_only=True)
    aggregates: Mapping[str, Aggregate] = field(default_factory=lambda: {"count": Count()}, kw_only=True)
    time: str = field(default="", kw_only=True)
    idle_s: float | None = field(default=60.0, kw_only=True)
    flush_every_s: float = field(default=5.0, kw_only=True)
    max_rows: int = field(default=1000, kw_only=True)
    start: Start = field(default="earliest", kw_only=True)

    def default_name(self) -> str:
        return f"kafka-stream:{self.topic}"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It makes its own events of many records."""
        mine = (route.kind, route.target) == (BATCH, self.topic)
        return None if mine else f"it makes events of windows, out of the records of {self.topic}"

    def shape(self) -> Shape:
        """What is computed. Two declarations with the same digest fold the same records to the same rows."""
        said = repr((self.key, self.time, float(self.window_s), float(self.grace_s), dict(self.aggregates)))
        digest = hashlib.blake2b(said.encode(), digest_size=6).hexdigest()
        return Shape(round(self.window_s * 1000), round(self.grace_s * 1000), self.aggregates, digest)

    def __post_init__(self) -> None:
        check_topic(self.topic, self.start, "StreamFeatures")
        for problem in self._problems():
            raise InvalidTrigger(f"StreamFeatures({self.topic!r}): {problem}")
        super().__post_init__()

    def _problems(self) -> list[str]:
        numbers = [
            (is_number(self.window_s, 1, _LONGEST_WINDOW_S), "window_s must be from 1 second to 31 days"),
            (is_number(self.grace_s, 0, _LONGEST_WINDOW_S), "grace_s must be from 0 seconds to 31 days"),
            (self._waits(), "idle_s must be more than 0, or None to wait for ever"),
            (is_number(self.flush_every_s, _LEAST_S, 3600), "flush_every_s must be more than 0 and up to an hour"),
            (is_whole(self.max_rows, 1, _MOST_ROWS), f"max_rows must be from 1 to {_MOST_ROWS}"),
            (isinstance(self.aggregates, Mapping), "aggregates must be a mapping, such as {'count': Count()}"),
            (self.aggregates != {}, "aggregates is empty: name at least one, such as {'count': Count()}"),
        ]
        paths = [("key", self.key), *([("time", self.time)] if self.time != "" else [])]
        return [
            *(problem for is_right, problem in numbers if not is_right),
            *(p for name, path in paths if (p := _path_problem(name, path))),
            *(p for name, one in self._named() if (p := _aggregate_problem(name, one))),
        ]

    def _waits(self) -> bool:
        return self.idle_s is None or is_number(self.idle_s, _LEAST_S, inf)

    def _named(self) -> Iterable[tuple[object, object]]:
        return self.aggregates.items() if isinstance(self.aggregates, Mapping) else ()


def _path_problem(name: str, path: object) -> str:
    if isinstance(path, str) and all(path.split(".")):
        return ""
    return f"{name}={path!r} is not a path such as 'data.carrier'"


def _aggregate_problem(name: object, one: object) -> str:
    if not isinstance(name, str) or not name or name == "key":
        return f"an aggregate is called {name!r}: use text other than 'key', which is the name of the key"
    if not isinstance(one, Aggregate):
        return f"aggregate {name!r} is {one!r}: use Count(), Sum, Mean, Min, Max('data.path'), or an Aggregate of yours"
    if not one.path:
        return "" if isinstance(one, Count) else f"aggregate {name!r} has no path: say which number, as 'data.delay'"
    return _path_problem(f"aggregate {name!r}: path", one.path)
