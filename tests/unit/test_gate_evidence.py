"""Evidence is kept with its run whatever a gate puts into it: shortened where it is large, and whole beside it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from stages import GateResult, GateState
from stages.errors import StoreUnavailable
from stages.gates import schema_valid, tests_pass
from stages.gates.evaluate import evaluate
from stages.gates.evidence import LIMIT_BYTES, bounded, plain_json
from stages.stores import open_store
from tests.unit.test_gates import ask, evidence


def size(told: Any) -> int:
    return len(orjson.dumps(told))


@pytest.mark.parametrize(
    "large",
    [
        {"rows": [{"n": n, "name": "x" * 100} for n in range(5_000)]},
        {"text": "x" * 200_000},
        {"deep": [[["y" * 3_000] * 50] * 50]},
        {f"name {n}": n for n in range(50_000)},
        {"x" * 300_000: 1},
        {"small": 1, "report": {f"check {n}": ["z" * 500] * 20 for n in range(60)}},
    ],
)
def test_too_much_is_shortened_and_says_from_what(large: dict[str, Any]) -> None:
    kept = bounded(plain_json(large))
    assert size(kept) <= LIMIT_BYTES
    assert f"the whole evidence is {size(large):,} bytes" in kept["cut"]


def test_what_is_left_out_is_counted_and_what_fits_is_left_alone() -> None:
    kept = bounded(plain_json({"rows": list(range(100_000)), "text": "x" * 70_000, "mae": 3}))
    assert kept["rows"][:2] == [0, 1]
    assert kept["rows"][-1] == "and 99,900 more"
    assert kept["text"].endswith("(and 68,000 more characters)")
    assert kept["mae"] == 3
    assert bounded(plain_json({"rows": [1, 2]})) == {"rows": [1, 2]}


@pytest.mark.parametrize("odd", [{"n": 1 << 70}, {"text": "\ud800"}, {"nothing": object()}])
def test_what_json_has_no_word_for_is_told_as_text(odd: dict[str, Any]) -> None:
    assert orjson.loads(plain_json(odd))


def much(output: Any) -> GateResult:
    return GateResult.of(False, "nul \0 and " + "r" * 9_000, {"wrong": ["w" * 90 for _ in range(2_000)]})


async def test_the_whole_evidence_is_an_artifact() -> None:
    store = open_store("memory://")
    found = await evaluate(tests_pass(much), evidence([1]), store)
    assert found.state is GateState.FAILED
    assert size(found.evidence) <= LIMIT_BYTES + 200
    assert found.report is not None
    assert found.evidence["report"] == found.report.digest
    whole = orjson.loads(await store.get(found.report.digest))
    assert len(whole["checks"][0]["evidence"]["wrong"]) == 2_000
    assert len(found.reason) <= 4_000
    assert "\0" not in found.reason


class Away:
    """A store that takes nothing."""

    async def put(self, data: bytes) -> str:
        raise StoreUnavailable("the bucket does not answer", transient=True)


async def test_a_store_that_is_away_costs_the_report_and_not_the_result() -> None:
    found = await evaluate(tests_pass(much), evidence([1]), Away())  # type: ignore[arg-type]
    assert (found.state, found.report) == (GateState.FAILED, None)
    assert "could not be stored: the bucket does not answer" in found.evidence["report"]


async def test_small_evidence_is_no_artifact() -> None:
    found = await evaluate(schema_valid({"n": int}), evidence([{"n": 1}]), open_store("memory://"))
    assert (found.state, found.report) == (GateState.PASSED, None)
    assert "report" not in found.evidence


def waits_for_ever(output: Any) -> GateResult:
    return GateResult(GateState.WAITING, expires_s=float("inf"))


async def test_a_time_that_no_database_knows_fails_the_gate() -> None:
    assert "give seconds from now" in (await ask(waits_for_ever)).reason
