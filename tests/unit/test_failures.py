"""What a list tells of runs that failed."""

from __future__ import annotations

from typing import Any

import orjson

from service.db.failures import MOST_TEXT, errors_of

ROWS = [
    {"id": 1, "state": "failed", "failure": {"stage": "fit", "reason": "a permanent failure"}},
    {"id": 2, "state": "failed", "failure": {"stage": "score", "reason": "item 7: failed 3 times, and 2 other items"}},
    {"id": 3, "state": "failed", "failure": {"stage": "", "reason": "nobody took it"}},
    {"id": 4, "state": "cancelled", "failure": {"stage": "", "reason": "cancelled on request"}},
    {"id": 5, "state": "succeeded", "failure": None},
]


class Reads:
    """Answers for the runs it is asked about."""

    def __init__(self, **raised: tuple[str, str | None]) -> None:
        self.asked: list[Any] = []
        self._raised = raised

    async def fetch(self, name: str, runs: list[int], stages: list[str], items: list[int]) -> list[dict[str, Any]]:
        """One statement."""
        self.asked.append((name, runs, stages, items))
        told = [(run, *self._raised[stage]) for run, stage in zip(runs, stages, strict=True) if stage in self._raised]
        return [dict(zip(("run_id", "type", "message"), one, strict=True)) for one in told]


def rows(*ids: int) -> list[Any]:
    return [
        one | {"failure": orjson.dumps(one["failure"]) if one["failure"] else None} for one in ROWS if one["id"] in ids
    ]


async def test_a_page_asks_once_and_for_the_item_that_failed() -> None:
    reads = Reads(fit=("sklearn.errors.NotFitted", "call fit first\nthen predict"), score=("KeyError", ""))
    assert await errors_of(reads, rows(1, 2, 3, 4, 5)) == {1: "NotFitted: call fit first", 2: "KeyError"}  # type: ignore[arg-type]
    assert reads.asked == [("errors_of", [1, 2], ["fit", "score"], [-1, 7])]


async def test_a_page_of_runs_that_did_not_fail_in_a_stage_asks_nothing() -> None:
    reads = Reads()
    assert await errors_of(reads, rows(3, 4, 5)) == {}  # type: ignore[arg-type]
    assert reads.asked == []


async def test_what_was_raised_is_cut() -> None:
    [told] = (await errors_of(Reads(fit=("ValueError", "x" * 2000)), rows(1))).values()  # type: ignore[arg-type]
    assert len(told) == MOST_TEXT
    assert told.endswith("x…")
