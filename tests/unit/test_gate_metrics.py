"""Metrics by slice, and against the model in production."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from stages.canonical.evaluate import EvaluationReport, Slice
from stages.gates import metrics_above, metrics_below, production
from stages.gates.base import GateContext, as_gate
from stages.registry import ModelVersion
from tests.unit.test_gates import ask, passes


def slices(**mae: tuple[int, float]) -> list[Slice]:
    made = [Slice(column="carrier", value=name, rows=rows, metrics={"mae": one}) for name, (rows, one) in mae.items()]
    return [*made, Slice(column="origin", value="JFK", rows=9_000, metrics={"mae": 99})]


def report(**mae: tuple[int, float]) -> EvaluationReport:
    return EvaluationReport(metrics={"mae": 10}, slices=slices(**mae), checks=[])


# By slice.


@pytest.mark.parametrize("as_data", [False, True])
async def test_a_threshold_holds_in_every_slice_that_is_large_enough(as_data: bool) -> None:
    output: Any = report(UA=(900, 11), AA=(500, 12), HA=(3, 80))
    output = output.model_dump() if as_data else output
    assert await passes(metrics_below(mae=12, by_slice="carrier", min_rows=100), output)
    assert not await passes(metrics_below(mae=12, by_slice="carrier"), output)
    found = await ask(metrics_below(mae=11.5, by_slice="carrier", min_rows=100), output)
    assert found.reason == "carrier AA: mae is 12, above 11.5"
    assert found.evidence == {
        "by_slice": "carrier",
        "min_rows": 100,
        "too_small": [{"value": "HA", "rows": 3}],
        "slices": [
            {"value": "UA", "rows": 900, "passed": True, "metrics": {"mae": {"value": 11, "threshold": 11.5}}},
            {"value": "AA", "rows": 500, "passed": False, "metrics": {"mae": {"value": 12, "threshold": 11.5}}},
        ],
    }


async def test_the_whole_does_not_stand_in_for_a_slice() -> None:
    gate = metrics_below(mae=50, by_slice="carrier", min_rows=100)
    assert (await ask(gate, report(HA=(3, 1)))).reason == "none of the 1 slices by carrier has 100 rows"
    assert (await ask(gate, report())).reason == "the output has no slices by carrier, only by origin"
    assert (await ask(gate, {"metrics": {"mae": 1}})).reason == "the output has no slices by carrier"
    other = metrics_above(r2=0.1, by_slice="carrier")
    assert "carrier UA: r2 was not recorded (there are mae)" in (await ask(other, report(UA=(9, 1)))).reason


async def test_of_many_slices_the_first_are_told_and_the_rest_counted() -> None:
    output = report(**{f"c{n}": (10, 50.0) for n in range(8)})
    found = await ask(metrics_below(mae=12, by_slice="carrier"), output)
    assert found.reason.count("above 12") == 5
    assert found.reason.endswith("; and 3 more")


# Against production.


def version(model: str = "flights", number: int = 3, **metrics: float) -> ModelVersion:
    return ModelVersion(
        model=model, version=number, state="production", artifacts={}, metrics=metrics, lineage={}, run_id=None,
        pipeline=None, created_at=datetime(2013, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def against(**metrics: float) -> dict[str, Any]:
    return {"production": {"flights": version(**metrics)}}


@pytest.mark.parametrize(
    ("gate", "value", "passed"),
    [
        (metrics_above(r2=production("flights") - 0.01), {"r2": 0.795}, True),
        (metrics_above(r2=production("flights") - 0.01), {"r2": 0.785}, False),
        (metrics_above(r2=production("flights")), {"r2": 0.8}, True),
        (metrics_above(r2=production("flights") + 0.05), {"r2": 0.84}, False),
        (metrics_below(mae=production("flights") * 1.05), {"mae": 10.5}, True),
        (metrics_below(mae=1.05 * production("flights")), {"mae": 10.51}, False),
        (metrics_below(mae=production("flights") * 1.05 + 1), {"mae": 11.5}, True),
        (metrics_below(mae=(production("flights") + 1) * 2), {"mae": 22.1}, False),
        (metrics_above(r2=production("flights") - 0.01), {}, False),
    ],
)
async def test_a_threshold_is_what_production_has_times_and_plus(gate: Any, value: Any, passed: bool) -> None:
    assert await passes(gate, metrics=value, **against(r2=0.8, mae=10)) is passed


async def test_a_missed_relative_threshold_tells_the_version_and_its_value() -> None:
    gate = metrics_above(r2=production("flights") - 0.01, rows=5)
    assert gate.models == ("flights",)
    found = await ask(gate, metrics={"r2": 0.7, "rows": 9}, **against(r2=0.75))
    assert found.reason == "r2 is 0.7, below 0.74 (version 3 of flights in production has 0.75)"
    assert found.evidence["metrics"]["r2"] == {
        "value": 0.7,
        "threshold": 0.74,
        "production": {"model": "flights", "version": 3, "value": 0.75},
    }
    assert found.evidence["metrics"]["rows"] == {"value": 9, "threshold": 5}


async def test_the_first_model_passes_and_the_evidence_says_why() -> None:
    found = await ask(metrics_above(r2=production("flights")), metrics={"r2": -5})
    assert await passes(metrics_above(r2=production("flights")), metrics={"r2": -5})
    assert found.evidence["metrics"]["r2"]["production"] == {"model": "flights", "version": None}
    assert "nothing to compare" in found.evidence["metrics"]["r2"]["note"]
    assert not await passes(metrics_above(r2=production("flights"), mae=1), metrics={"r2": 5, "mae": 0})


async def test_a_version_that_lacks_the_metric_is_nothing_to_pass_by() -> None:
    found = await ask(metrics_above(r2=production("flights")), metrics={"r2": 1}, **against(mae=3))
    assert found.reason == "version 3 of flights in production has no r2 to compare with"


def test_what_cannot_be_compared_is_refused_when_it_is_declared() -> None:
    with pytest.raises(ValueError, match="keeps no slices"):
        metrics_above(r2=production("flights"), by_slice="carrier")
    with pytest.raises(ValueError, match="say which"):
        metrics_above(r2=1, min_rows=10)
    assert metrics_above(r2=1).models == ()


def better(production: Any, metrics: Any) -> bool:
    return bool(metrics["r2"] > production["flights"].metrics["r2"])


def whole(everything: GateContext) -> bool:
    return "flights" in everything.production


async def test_a_function_that_asks_for_production_names_its_models() -> None:
    with pytest.raises(TypeError, match=r"name models, better\.models"):
        as_gate(better)
    better.models = ["flights"]  # type: ignore[attr-defined]
    try:
        assert await passes(better, metrics={"r2": 0.9}, **against(r2=0.8))
        assert as_gate(better).models == ("flights",)  # type: ignore[attr-defined]
    finally:
        del better.models  # type: ignore[attr-defined]
    assert await passes(whole, **against())
