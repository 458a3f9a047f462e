"""Compares sources with the inbox, and makes up for what is missing if that is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from service.asking.foresight import listening, offers
from service.asking.given import Given
from service.asking.shapes import LackShape, ReconciledShape
from service.catalogue import Catalogue
from triggers.base import Arrival, Binding, Fate, Offer
from triggers.errors import TriggerError
from triggers.kafka import KafkaArrivals
from triggers.marked import marked, untold
from triggers.reconcile import reconcile
from triggers.route import KAFKA, Route, route_of

if TYPE_CHECKING:
    from triggers.reconcile.reconciled import Ground, Lack

_BITE = 500


async def reconciled(
    catalogue: Catalogue, binding: Binding, ground: Ground, *, repair: bool
) -> tuple[ReconciledShape, int]:
    """One trigger, and how much was made up for. What cannot be compared says why in `error`."""
    shape: ReconciledShape = {
        "trigger": binding.name,
        "kind": binding.trigger.kind,
        "checked": 0,
        "differences": 0,
        "lacks": [],
        "notes": [],
        "error": "",
    }
    if not binding.trigger.enabled:
        return {**shape, "notes": ["switched off: nobody listens, so nothing is missing"]}, 0
    try:
        found = await reconcile(binding.trigger, binding, ground)
    except TriggerError as error:
        return {**shape, "error": str(error)}, 0
    wanting = [one for one in found.lacks if not one.expected]
    made = await _repair(catalogue, wanting, ground) if repair else {}
    shape["checked"], shape["notes"] = found.checked, found.notes
    shape["differences"] = len(wanting)
    shape["lacks"] = [_lack(one, made.get(id(one))) for one in found.lacks]
    return shape, len(made)


async def _repair(catalogue: Catalogue, lacks: Sequence[Lack], ground: Ground) -> dict[int, str]:
    """Accept what is missing; the key of each event, by the lack's identity. Harmless if somebody else does too."""
    mendable = [(one, one.arrival) for one in lacks if one.arrival is not None]
    made: dict[int, str] = {}
    for start in range(0, len(mendable), _BITE):
        bite = mendable[start : start + _BITE]
        arrivals = [_heard_by_all(catalogue, arrival, str(ground.root)) for _, arrival in bite]
        await ground.inbox.accept(arrivals)
        made |= {id(lack): str(arrival.event.key) for lack, arrival in bite}
    return made


def _heard_by_all(catalogue: Catalogue, arrival: Arrival, root: str) -> Arrival:
    """An event is accepted once: every trigger that would have heard of it has its say now."""
    route = _topic(catalogue, arrival) or route_of(arrival.event, root)
    secrets = catalogue.secrets_at(route)
    event = marked(arrival.event, secrets)
    own = {(one.pipeline, one.trigger): _untold(one) if secrets else one for one in arrival.offers}
    heard = offers(listening(catalogue), Given(event, route))
    return replace(arrival, event=event, offers=list((heard | own).values()))


def _untold(made: Offer) -> Offer:
    return replace(made, reason=untold(made.reason)) if made.fate is Fate.DEAD else made


def _topic(catalogue: Catalogue, arrival: Arrival) -> Route | None:
    """The topic it was read from, if it was: the source of a CloudEvent does not tell."""
    offered = {(one.pipeline, one.trigger) for one in arrival.offers}
    topics = [
        one.trigger.topic for one in catalogue.bindings(KafkaArrivals) if (one.pipeline, one.trigger.name) in offered
    ]
    return Route(KAFKA, topics[0]) if topics else None


def _lack(one: Lack, event: str | None) -> LackShape:
    return {
        "what": one.what,
        "why": one.why,
        "expected": one.expected,
        "repair": one.arrival is not None,
        "event": event,
    }
