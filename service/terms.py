"""What the settings of triggers say about events that are about to be accepted. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from service.limits import key_of
from triggers.admission import Terms
from triggers.base import Arrival, Fate, Offer
from triggers.coalesce import Batch, Coalesce
from triggers.event import Event
from triggers.handling import PLAIN, Handling
from triggers.missed import MissedPolicy, why_each


def terms_of(handling: Handling, event: Event, params: bytes) -> Terms | None:
    """On which terms the event starts a run with these parameters; None: on none."""
    coalesce, rate = handling.coalesce, handling.rate_limit
    if coalesce is None and rate is None:
        return None
    return Terms(
        coalesce=coalesce,
        gather_key="" if coalesce is None else _gather_key(coalesce, event, params),
        rate_limit=rate,
        rate_key="" if rate is None else _key(rate.key, event),
    )


def _gather_key(coalesce: Coalesce, event: Event, params: bytes) -> str:
    """The events of a batch have the same parameters, for its run has only one set of them."""
    key = _key(coalesce.key, event)
    if not isinstance(coalesce, Batch) or params == b"{}":
        return key
    return f"{key} {hashlib.blake2b(params, digest_size=16).hexdigest()}"


def _key(path: str | None, event: Event) -> str:
    """Empty without a path, and for an event that has nothing there."""
    found = None if path is None else key_of(path, event)
    return "" if found is None else f"={found}"


def judged(arrivals: Sequence[Arrival], now: datetime) -> Sequence[Arrival]:
    """The same arrivals, with `LATE` offers where an event is too old for the trigger that offers a run."""
    if all(offer.handling is PLAIN for arrival in arrivals for offer in arrival.offers):
        return arrivals
    late = _late(arrivals, now)
    return [
        Arrival(arrival.event, [_as_late(one, late.get((number, one.pipeline, one.trigger))) for one in arrival.offers])
        for number, arrival in enumerate(arrivals)
    ]


def _late(arrivals: Sequence[Arrival], now: datetime) -> dict[tuple[int, str, str], str]:
    """Why the offers of an arrival, by its number, are late: for each trigger among those that it would run."""
    found: dict[tuple[str, str], tuple[MissedPolicy, list[int]]] = {}
    for number, arrival in enumerate(arrivals):
        for offer in arrival.offers:
            if offer.fate is Fate.RAN and offer.handling.missed is not None:
                numbers = found.setdefault((offer.pipeline, offer.trigger), (offer.handling.missed, []))[1]
                numbers.append(number)

    def times_of(numbers: Sequence[int]) -> list[datetime]:
        return [arrivals[number].event.time for number in numbers]

    return {
        (number, *trigger): reason
        for trigger, (policy, numbers) in found.items()
        for number, reason in zip(
            numbers, why_each([arrivals[n].event.time for n in numbers], now, policy), strict=True
        )
        if reason
    }


def _as_late(offer: Offer, reason: str | None) -> Offer:
    return offer if reason is None else replace(offer, fate=Fate.LATE, reason=reason, params=None)
