"""When a failed attempt is tried again: exponential backoff with full jitter (Brooker, AWS Architecture Blog 2015)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stages.rules import MOST_S, Rule, number, require, seconds, truth, whole

Errors = tuple[type[BaseException], ...]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a stage is tried again after a transient failure. Delays are in seconds.

    `total_s` is the time a stage has over all its attempts, from the start of the first one: what still runs then is
    stopped, and nothing is tried again. `transient` and `permanent` name errors beside those known by themselves: by
    their types, or for `transient` by a function of the error that returns True, False, or None for "as usual".
    """

    max_attempts: int = 3
    initial_s: float = 1.0
    factor: float = 2.0
    max_delay_s: float = 300.0
    jitter: bool = True
    total_s: float | None = None
    transient: Errors | Callable[[BaseException], bool | None] = ()
    permanent: Errors = ()

    def __post_init__(self) -> None:
        require("Retry", RULES, self)

    def delay_s(self, failures: int, chance: float, retry_after_s: float | None = None) -> float:
        """How long to wait after the `failures`-th failure (from 1). `chance` in [0, 1) draws the jitter.

        A delay the failure itself asked for (`retry_after_s`) is a lower bound.
        """
        ceiling = min(self.max_delay_s, self.initial_s * self.factor ** min(failures - 1, 64))
        drawn = ceiling * chance if self.jitter else ceiling
        return max(drawn, retry_after_s or 0.0)

    def says_transient(self, error: BaseException) -> bool | None:
        """Whether this policy calls the error transient; None where it has nothing to say of it."""
        if isinstance(error, self.permanent):
            return False
        if isinstance(self.transient, tuple):
            return True if isinstance(error, self.transient) else None
        return self.transient(error)


def _is_function(given: object) -> bool:
    """An error type alone is callable too, but would call every error transient."""
    return callable(given) and not isinstance(given, type)


def _are_errors(given: object) -> bool:
    return isinstance(given, tuple) and all(isinstance(one, type) and issubclass(one, BaseException) for one in given)


RULES: Mapping[str, Rule] = {
    "max_attempts": whole(1),
    "initial_s": number(0, MOST_S),
    # Its 64th power is still a number.
    "factor": number(1, 1000),
    "max_delay_s": number(0, MOST_S),
    "jitter": truth(),
    "total_s": seconds().or_none(),
    "transient": Rule(
        lambda given: _are_errors(given) or _is_function(given), "error types in a tuple, or a function of the error"
    ),
    "permanent": Rule(_are_errors, "error types in a tuple"),
}
