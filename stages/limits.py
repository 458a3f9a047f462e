"""What a pipeline says of how many of its runs may be under way, and how fast they may start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Policy = Literal["queue", "cancel_running", "drop_new"]


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
        if not self.key:
            raise ValueError("Concurrency(key=''): name a path into the event, such as data.customer or subject")
        if self.at_most < 1:
            raise ValueError(f"Concurrency(at_most={self.at_most}): no run could ever start")
        if self.policy not in ("queue", "cancel_running", "drop_new"):
            raise ValueError(f"Concurrency(policy={self.policy!r}): use 'queue', 'cancel_running' or 'drop_new'")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `runs` starts of this pipeline in any `per_s` seconds, for each value of `key` where one is given."""

    runs: int
    per_s: float
    key: str | None = None

    def __post_init__(self) -> None:
        if self.runs < 1 or self.per_s <= 0:
            raise ValueError(f"Rate(runs={self.runs}, per_s={self.per_s}): no run could ever start")
