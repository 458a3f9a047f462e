"""Answers as JSON, and what is said of events that were accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from starlette.responses import Response

from service.fates import NOBODY, STRENGTH
from service.shapes.answers import EventAnswer, EventsAnswer
from triggers.base import Fate, Outcome, Receipt


class Json(Response):
    """A JSON answer written by orjson."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(orjson.dumps(content, default=str), status_code, headers)


def events_answer(receipts: Sequence[Receipt]) -> tuple[int, EventsAnswer]:
    """202 and what became of each event, or 200 when all of them were repeats: the first runs are told again."""
    repeats = all(not receipt.first for receipt in receipts)
    return (200 if repeats else 202), {"events": [_event(receipt) for receipt in receipts]}


def _event(receipt: Receipt) -> EventAnswer:
    event, outcomes = receipt.event, receipt.outcomes
    best = max(outcomes, key=_strength, default=None)
    return {
        "id": event.id,
        "source": event.source,
        "key": str(event.key),
        "first": receipt.first,
        "fate": best.fate.value if best else Fate.IGNORED.value,
        "reason": best.reason if best else NOBODY,
        "runs": [one.run_id for one in outcomes if one.run_id is not None],
        "outcomes": [
            {
                "pipeline": one.pipeline,
                "trigger": one.trigger,
                "fate": one.fate.value,
                "reason": one.reason,
                "run": one.run_id,
            }
            for one in outcomes
        ],
    }


def _strength(outcome: Outcome) -> int:
    return STRENGTH[outcome.fate]
