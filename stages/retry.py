"""When a failed attempt is tried again: exponential backoff with full jitter (Brooker, AWS Architecture Blog 2015)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and when a stage is tried again after a transient failure. Delays are in seconds."""

    max_attempts: int = 3
    initial_s: float = 1.0
    factor: float = 2.0
    max_delay_s: float = 300.0
    jitter: bool = True

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"Retry(max_attempts={self.max_attempts}): a stage is tried at least once")
        if self.initial_s < 0 or self.max_delay_s < 0 or self.factor < 1:
            raise ValueError("Retry: delays must not be negative and factor must be at least 1")

    def delay_s(self, failures: int, chance: float, retry_after_s: float | None = None) -> float:
        """How long to wait after the `failures`-th failure (from 1). `chance` in [0, 1) draws the jitter.

        A delay the failure itself asked for (`retry_after_s`) is a lower bound.
        """
        ceiling = min(self.max_delay_s, self.initial_s * self.factor ** min(failures - 1, 64))
        drawn = ceiling * chance if self.jitter else ceiling
        return max(drawn, retry_after_s or 0.0)
