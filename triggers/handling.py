"""What the settings that every trigger has say about its events, in the form in which an offer carries it."""

from __future__ import annotations

from dataclasses import dataclass

from triggers.coalesce import Coalesce
from triggers.missed import MissedPolicy
from triggers.rate import RateLimit


@dataclass(frozen=True, slots=True)
class Handling:
    """How the inbox treats what a trigger offers. None: as if the trigger said nothing about it."""

    coalesce: Coalesce | None = None
    missed: MissedPolicy | None = None
    rate_limit: RateLimit | None = None
    concurrency_key: str | None = None


PLAIN = Handling()
