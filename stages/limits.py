"""What a pipeline says of how many of its runs may be under way, and how fast they may start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from stages.rules import Rule, one_of, require, seconds, text, whole

Policy = Literal["queue", "cancel_running", "drop_new"]

_KEY = text("a path into the event, such as data.customer or subject")
CONCURRENCY: Mapping[str, Rule] = {"key": _KEY, "at_most": whole(1), "policy": one_of(get_args(Policy))}
RATE: Mapping[str, Rule] = {"runs": whole(1), "per_s": seconds(), "key": _KEY.or_none()}


@dataclass(frozen=True, slots=True)
class Concurrency:
    """At most `at_most` runs of this pipeline at once for each value of `key`, a path into the event.

    One too many waits its turn (`queue`), ends those before it (`cancel_running`), or never comes to be (`drop_new`:
    its event is ignored, and says so). An event without the key is not limited by it.
    """

    key: str
    at_most: int = 1
    policy: Policy = "queue"

    def __post_init__(self) -> None:
        require("Concurrency", CONCURRENCY, self)


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `runs` starts of this pipeline in any `per_s` seconds, for each value of `key` where one is given."""

    runs: int
    per_s: float
    key: str | None = None

    def __post_init__(self) -> None:
        require("Rate", RATE, self)
