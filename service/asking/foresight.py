"""What an event would lead to: every trigger's answer, and the runs that would start. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson

from service.asking.admitting import Foreseen
from service.asking.given import Given
from service.asking.shapes import ClauseShape, TriggerVerdict
from service.catalogue import Catalogue
from service.db.offered import FateRow, RunRow
from triggers.base import Arrival, Binding, Fate, Offer
from triggers.manual import MANUAL, Manual, manual_offer
from triggers.match import offer
from triggers.where import ABSENT, Miss, misses

Place = tuple[str, str]


def listening(catalogue: Catalogue) -> list[Binding]:
    """Every trigger of every pipeline, and for pipelines that declare none the way to start them by hand."""
    bindings = list(catalogue.bindings())
    by_hand = {one.pipeline for one in bindings if isinstance(one.trigger, Manual)}
    return [*bindings, *(Binding(name, Manual()) for name in catalogue.pipelines if name not in by_hand)]


def offers(bindings: Sequence[Binding], given: Given, heard: Collection[Place] = ()) -> dict[Place, Offer]:
    """What each trigger that such an event reaches would offer. Those in `heard` are known to have been reached."""
    return {
        (one.pipeline, one.trigger.name): _offer(one, given)
        for one in bindings
        if (one.pipeline, one.trigger.name) in heard or one.trigger.deaf_to(given.route, one.pipeline) is None
    }


def _offer(binding: Binding, given: Given) -> Offer:
    if given.dead:
        return Offer(binding.pipeline, binding.trigger.name, Fate.DEAD, given.dead)
    if isinstance(binding.trigger, Manual) and given.event.type == MANUAL:
        return manual_offer(binding, given.event)
    return offer(binding, given.event)


def arrival(given: Given, offered: Mapping[Place, Offer]) -> Arrival:
    """As it would be handed to the inbox."""
    return Arrival(given.event, list(offered.values()))


def verdicts(
    bindings: Sequence[Binding], given: Given, offered: Mapping[Place, Offer], foreseen: Foreseen
) -> list[TriggerVerdict]:
    """What each trigger makes of the event, those that start something first, those never reached last."""
    winners = {row.pipeline: row for row in foreseen.winners}
    found = [
        _reached(one, given, offered[place], winners[one.pipeline], foreseen.refused.get(place))
        if (place := (one.pipeline, one.trigger.name)) in offered
        else _deaf(one, given)
        for one in bindings
    ]
    return sorted(found, key=lambda one: (one["fate"] != Fate.RAN, not one["reached"]))


def _reached(
    binding: Binding, given: Given, offered: Offer, winner: RunRow | FateRow, refused: FateRow | None
) -> TriggerVerdict:
    fate, reason = offered.fate, offered.reason
    if refused is not None:
        fate, reason = refused.fate, refused.reason
    elif winner.trigger != offered.trigger and fate is Fate.RAN:
        reason = f"trigger {winner.trigger} of this pipeline, which is asked first, starts the run"
    clauses = [_clause(one) for one in misses(binding.trigger.where, given.event)] if not given.dead else []
    return _verdict(binding, reached=True, fate=fate.value, reason=reason, clauses=clauses)


def _deaf(binding: Binding, given: Given) -> TriggerVerdict:
    why = binding.trigger.deaf_to(given.route, binding.pipeline) or ""
    return _verdict(binding, reached=False, fate=None, reason=why, clauses=[])


def _verdict(
    binding: Binding, *, reached: bool, fate: str | None, reason: str, clauses: list[ClauseShape]
) -> TriggerVerdict:
    return {
        "pipeline": binding.pipeline,
        "trigger": binding.trigger.name,
        "kind": binding.trigger.kind,
        "reached": reached,
        "fate": fate,
        "reason": reason,
        "clauses": clauses,
    }


def _clause(miss: Miss) -> ClauseShape:
    found = None if miss.found is ABSENT else miss.found
    return {"clause": miss.clause, "wanted": _plain(miss.wanted), "found": _plain(found), "told": miss.told}


def _plain(value: Any) -> Any:
    """A value as JSON has it; sets and what else a `where` may hold become lists and text."""
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=_as_json))


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)
