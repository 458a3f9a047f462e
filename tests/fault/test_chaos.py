"""A short storm, and whether its ledger would have noticed. `make chaos` lets a longer one rage."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.chaos.ledger import Sides, verdict
from tests.chaos.plan import POINTS, plan
from tests.chaos.storm import Storm

SEED = 20261127
STORM_S = 20.0
# What may not be met in so short a storm.
RARE = {f"{name}.{when}" for name in ("adopt", "blame", "owned", "sink_trouble") for when in ("commit", "committed")}


def test_a_seed_is_a_plan() -> None:
    assert plan(SEED, 600) == plan(SEED, 600) != plan(SEED + 1, 600)
    assert {fault.kind for fault in plan(SEED, 600)} > {"kill", "pause", "crash at", "stop at", "restart database"}


@pytest.mark.timeout(300)
async def test_nothing_is_lost_and_nothing_doubled_in_a_storm(home: Path) -> None:
    storm = Storm(SEED, STORM_S, home, tells=lambda line: None)
    assert await storm.rage() == []
    assert sum(count for name, count in storm.happened.items() if name.startswith("ended with ")) >= 3
    assert storm.points >= set(POINTS) - RARE
    assert all(storm.happened[f"acknowledged: {name}"] for name in ("posted", "told", "shared", "decided", "landed"))


WORKED, DONE, LATER = (datetime(2026, 11, 28, 12, minute, tzinfo=UTC) for minute in (0, 1, 2))


def attempt(run_id: int, stage: str, output: Any) -> dict[str, Any]:
    inline = orjson.dumps(output)
    digest = hashlib.blake2b(inline, digest_size=32).hexdigest()
    told = {"run_id": run_id, "stage": stage, "finished_at": DONE}
    return {**told, "output_inline": inline, "output_digest": digest}


def effect(run_id: int, pipeline: str, stage: str, detail: str, key: str = "") -> dict[str, Any]:
    told = {"run_id": run_id, "pipeline": pipeline, "stage": stage, "at": WORKED}
    return {**told, "key": key or f"{run_id}/{stage}", "detail": detail}


def outcome(pipeline: str, event_id: str, run_id: int, data: Any = None) -> dict[str, Any]:
    return {"id": event_id, "pipeline": pipeline, "fate": "ran", "run_id": run_id, "data": orjson.dumps(data)}


def calm(folder: Path) -> dict[str, Any]:
    """One thing told, two ticks, one record, and two batches in order: all went well."""
    chain = [(run, name) for run in (1, 2, 3, 4) for name in ("take", "make", "publish")]
    pipelines = dict(enumerate(("told", "ticked", "ticked", "arrived", "ordered", "ordered", "batched"), 1))
    folds = [(5, 0, 1, 1), (6, 2, 2, 2), (7, 0, 2, 3)]
    return {
        "acknowledged": {"told": ["told-0"]},
        "records": {"arrivals": {0: [0]}, "batches": {0: [0, 1, 2]}},
        "outcomes": [
            outcome("told", "told-0", 1),
            outcome("ticked", "a", 2, {"due_at": "2026-01-01T00:00:00Z"}),
            outcome("ticked", "b", 3, {"due_at": "2026-01-01T00:00:01Z"}),
            outcome("arrived", "0/0", 4),
        ],
        "runs": {
            n: {"id": n, "pipeline": name, "state": "succeeded", "failure": None} for n, name in pipelines.items()
        },
        "attempts": [
            *(attempt(run, name, "x") for run, name in chain),
            *(
                attempt(run, "fold", {"partition": 0, "first": a, "last": b, "sum": total})
                for run, a, b, total in folds
            ),
        ],
        "effects": [
            *(effect(run, pipelines[run], name, "x") for run, name in chain),
            *(
                effect(run, pipelines[run], "fold", f"0 {first} {what}")
                for run, first, _, _ in folds
                for what in ("begins", "ends")
            ),
        ],
        "artifacts": folder,
    }


def second_success_elsewhere(sides: dict[str, Any]) -> None:
    sides["effects"].append(effect(1, "told", "take", "x", key="another"))


def unknown_run(sides: dict[str, Any]) -> None:
    sides["effects"].append(effect(99, "told", "take", "x"))


def begins_too_early(sides: dict[str, Any]) -> None:
    told = [one for one in sides["effects"] if one["pipeline"] == "ordered"]
    others = [one for one in sides["effects"] if one["pipeline"] != "ordered"]
    sides["effects"] = [*others, told[0], told[2], told[1], told[3]]


WRONGS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "lost": (lambda sides: sides["outcomes"].pop(0), "told-0 was acknowledged, and is 0 events"),
    "doubled": (lambda sides: sides["outcomes"].append(outcome("told", "told-0", 9)), "told-0 is 2 events"),
    "ignored": (lambda sides: sides["outcomes"][0].update(fate="ignored"), "its fate is ignored"),
    "a tick missed": (lambda sides: sides["outcomes"][2].update(data=b'{"due_at": "2026-01-01T00:00:02Z"}'), "follows"),
    "a record skipped": (lambda sides: sides["records"]["arrivals"][0].append(1), "at (0, 1) is not one event"),
    "a record made up": (lambda sides: sides["outcomes"].append(outcome("arrived", "1/7", 9)), "not there, (1, 7)"),
    "a run left over": (lambda sides: sides["runs"][1].update(state="running"), "run 1 of told is running"),
    "two keys": (second_success_elsewhere, "worked under 2 keys"),
    "a run made up": (unknown_run, "worked for a run that does not exist"),
    "a stage left out": (lambda sides: sides["attempts"].pop(0), "succeeded without take"),
    "work left out": (lambda sides: sides["effects"].pop(0), "succeeded without take"),
    "a batch left out": (lambda sides: sides["attempts"].pop(13), "has 3 records, and batches of 2"),
    "other records": (lambda sides: sides["records"]["batches"].update({0: [0, 5, 2]}), "saw other records"),
    "out of order": (begins_too_early, "ordered: 0 2 begins after 0"),
    "another output": (lambda sides: sides["attempts"][0].update(output_inline=b"y"), "the output of take is not"),
}


def test_the_ledger_finds_nothing_where_all_went_well(tmp_path: Path) -> None:
    assert verdict(Sides(**calm(tmp_path))) == []


def test_what_a_process_does_that_wakes_up_after_the_end_is_no_batch_again(tmp_path: Path) -> None:
    sides = calm(tmp_path)
    [begins, *_] = (one for one in sides["effects"] if one["pipeline"] == "ordered")
    sides["effects"].append({**begins, "at": LATER})
    assert verdict(Sides(**sides)) == []
    sides["effects"].append({**begins, "at": WORKED})
    assert "ordered: 0 0 begins after 2" in "\n".join(verdict(Sides(**sides)))


@pytest.mark.parametrize("wrong", WRONGS)
def test_the_ledger_finds(tmp_path: Path, wrong: str) -> None:
    sides = calm(tmp_path)
    does, says = WRONGS[wrong]
    does(sides)
    assert says in "\n".join(verdict(Sides(**sides)))
