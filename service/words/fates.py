"""What became of an event, in one sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from service.fates import NOBODY, STRENGTH
from service.shapes.answers import OutcomeShape
from service.shapes.replays import ReplayOf
from triggers.base import Fate


def told(outcomes: Sequence[OutcomeShape], replays: Sequence[ReplayOf] = ()) -> str:
    """The strongest fates first; pipelines that only ignored it are counted, but for one where nothing else came of it.

    A run that was started later for an event that had none, with all effects, is told beside its fate.
    """
    by_strength = sorted(outcomes, key=lambda one: -STRENGTH[Fate(one["fate"])])
    telling = [one for one in by_strength if one["fate"] != Fate.IGNORED] or by_strength[:1]
    silent = len(outcomes) - len(telling)
    parts = [_one(one, replays) for one in telling]
    if silent:
        parts.append(f"{silent} other {'pipeline' if silent == 1 else 'pipelines'} ignored it")
    return "; ".join(parts) or f"It started nothing: {NOBODY}"


def _one(outcome: OutcomeShape, replays: Sequence[ReplayOf]) -> str:
    pipeline, trigger, run = outcome["pipeline"], outcome["trigger"], outcome["run"]
    match Fate(outcome["fate"]):
        case Fate.RAN:
            since = f"; {outcome['reason']}" if outcome["reason"] else ""
            return f"It started run {run} of {pipeline} by {trigger}{since}"
        case Fate.COALESCED:
            return f"It was coalesced into run {run} of {pipeline} by {trigger}"
        case fate:
            since = _started_since(pipeline, replays)
            return f"It started nothing in {pipeline}: {fate.value}, {outcome['reason']} ({trigger}){since}"


def _started_since(pipeline: str, replays: Sequence[ReplayOf]) -> str:
    runs = [one["run"] for one in replays if one["pipeline"] == pipeline and not one["shadow"]]
    return f", but run {runs[-1]} was started for it since" if runs else ""
