"""What a pipeline says of its runs as a whole: how long they may take, how many at once, what happens at their end."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from stages.base import Stage
from stages.limits import Concurrency, Rate
from stages.problems import NAME, Problems, nearest
from stages.rules import Rule, broken, made_by, seconds, whole, words

Hook = Literal["on_cancel", "on_failure", "finally_"]
MOST_PRIORITY = 100


class RunSettings(TypedDict, total=False):
    """What `Pipeline` may be told of its runs; the fields of `RunPolicy` say what is so otherwise."""

    tags: Sequence[str]
    timeout_s: float | None
    queue_timeout_s: float | None
    due_s: float | None
    max_running: int | None
    concurrency: Concurrency | None
    rate: Rate | None
    pool: str | None
    priority: int
    on_cancel: Stage | None
    on_failure: Stage | None
    finally_: Stage | None


@dataclass(frozen=True, kw_only=True)
class RunPolicy:
    """How runs of a pipeline are treated. Times are in seconds; None: no bound.

    A run fails `timeout_s` after it first started, or when it has not started within `queue_timeout_s`; `due_s` after
    its event it is late, which is told and ends nothing. At most `max_running` run at once, those of one `concurrency`
    key by its policy, started no faster than `rate`, in a `pool` shared with other pipelines, higher `priority` (-100
    to 100) first. `on_failure` or `on_cancel`, and then `finally_`, run once at the end of a run that has begun.
    """

    tags: Sequence[str] = ()
    timeout_s: float | None = None
    queue_timeout_s: float | None = None
    due_s: float | None = None
    max_running: int | None = None
    concurrency: Concurrency | None = None
    rate: Rate | None = None
    pool: str | None = None
    priority: int = 0
    on_cancel: Stage | None = None
    on_failure: Stage | None = None
    finally_: Stage | None = None

    @property
    def hooks(self) -> Mapping[Hook, Stage]:
        """The stages that run at the end, by when."""
        named: dict[Hook, Stage | None] = {
            "on_cancel": self.on_cancel,
            "on_failure": self.on_failure,
            "finally_": self.finally_,
        }
        return {when: hook for when, hook in named.items() if hook is not None}

    @property
    def limited(self) -> bool:
        """Whether a run may have to wait for other runs."""
        unlimited = self.max_running is None and self.concurrency is None and self.rate is None and self.pool is None
        return not unlimited

    def problems(self) -> Iterator[str]:
        """What makes no sense in it. One with none is safe to read."""
        yield from broken(RULES, vars(self))


_HOOK = made_by(Stage, "a stage: decorate the function with @stage").or_none()
RULES: Mapping[str, Rule] = {
    "tags": words("a list of words"),
    "timeout_s": seconds().or_none(),
    "queue_timeout_s": seconds().or_none(),
    "due_s": seconds().or_none(),
    "max_running": whole(1).or_none(),
    "concurrency": made_by(Concurrency, "a Concurrency, as in concurrency=Concurrency('data.customer')").or_none(),
    "rate": made_by(Rate, "a Rate, as in rate=Rate(runs=10, per_s=60)").or_none(),
    "pool": Rule(
        lambda value: isinstance(value, str) and NAME.fullmatch(value) is not None,
        "a name of letters, digits, _ and -, beginning with a letter or _",
    ).or_none(),
    "priority": whole(-MOST_PRIORITY, MOST_PRIORITY),
    "on_cancel": _HOOK,
    "on_failure": _HOOK,
    "finally_": _HOOK,
}


def read_policy(settings: Mapping[str, Any], others: Collection[str], problems: Problems) -> RunPolicy:
    """The policy of these settings of a pipeline, which has `others` besides. What is wrong goes to `problems`."""
    for name in settings:
        if name not in RULES:
            problems.add(f"a pipeline has no setting {name!r}{nearest(name, (*RULES, *others))}")
    policy = RunPolicy(**{name: value for name, value in settings.items() if name in RULES})
    for wrong in policy.problems():
        problems.add(wrong)
    return policy
