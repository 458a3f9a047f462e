"""Gates pass, fail or wait, and always say why with evidence that is plain JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel, Field

from stages import Event, GateContext, GateResult, GateState, Transient
from stages.codecs.base import Scratch
from stages.gates import approved, fresh, metrics_above, metrics_below, row_count, schema_valid, tests_pass
from stages.gates.base import as_gate
from stages.gates.evaluate import evaluate, output_for
from stages.stores import open_store
from stages.values import save

NOW = datetime(2013, 2, 1, 12, tzinfo=UTC)
EVENT = Event(source="s", id="1", type="t", time=NOW, data={"month": 1})


class Row(BaseModel):
    n: int = Field(ge=0)
    name: str | None


ROWS = [{"n": 1, "name": "a"}, {"n": 2, "name": None}]
FRAME = pl.DataFrame(ROWS)
BAD_ROWS = [{"n": index if index % 300 else -1, "name": "a"} for index in range(1_201)]


def evidence(output: Any = None, **changes: Any) -> GateContext:
    settled: dict[str, Any] = {
        "run_id": 1,
        "pipeline": "flights",
        "source_stage": "train",
        "metrics": {},
        "finished_at": NOW - timedelta(seconds=60),
        "event": EVENT,
        "params": None,
        "now": NOW,
    }
    return GateContext(output=output, **settled | changes)


async def ask(gate: Any, output: Any = None, **changes: Any) -> GateResult:
    found = await evaluate(as_gate(gate), evidence(output, **changes))
    json.dumps(found.evidence)
    assert (found.state is GateState.FAILED) <= bool(found.reason)
    return found


async def passes(gate: Any, output: Any = None, **changes: Any) -> bool:
    found = await ask(gate, output, **changes)
    assert found.state is not GateState.WAITING
    return found.state is GateState.PASSED


# Metrics.


@pytest.mark.parametrize(
    ("r2", "passed"), [(0.3, True), (0.2, True), (0.19, False), (float("nan"), False), (None, False)]
)
async def test_a_metric_must_be_there_and_on_the_right_side(r2: float | None, passed: bool) -> None:
    metrics = {} if r2 is None else {"r2": r2}
    assert await passes(metrics_above(r2=0.2), metrics=metrics) is passed
    assert await passes(metrics_below(r2=-0.2), metrics={name: -value for name, value in metrics.items()}) is passed


async def test_a_missed_threshold_is_told_with_the_metric() -> None:
    found = await ask(metrics_above(r2=0.2, mae=1), metrics={"r2": 0.1, "rmse": 1})
    assert found.reason == "r2 is 0.1, below 0.2; mae was not recorded (there are r2, rmse)"
    assert found.evidence["metrics"]["r2"] == {"value": 0.1, "threshold": 0.2}


class Report(BaseModel):
    metrics: dict[str, float]


@pytest.mark.parametrize("output", [{"metrics": {"r2": 0.5}}, Report(metrics={"r2": 0.5})])
async def test_metrics_in_the_output_count_unless_recorded_otherwise(output: Any) -> None:
    assert await passes(metrics_above(r2=0.4), output)
    assert not await passes(metrics_above(r2=0.4), output, metrics={"r2": 0.3})


def test_thresholds_are_numbers_and_at_least_one() -> None:
    with pytest.raises(ValueError, match="at least one metric"):
        metrics_above()
    with pytest.raises(TypeError, match="must be a number"):
        metrics_below(r2="high")  # type: ignore[arg-type]


# Rows and age.


@pytest.mark.parametrize("output", [FRAME, FRAME.to_arrow(), ROWS, (1, 2)])
async def test_rows_are_counted_in_whatever_has_any(output: Any) -> None:
    assert await passes(row_count(2, 2), output)
    assert not await passes(row_count(3), output)
    assert not await passes(row_count(0, 1), output)


async def test_what_has_no_rows_fails_with_its_type() -> None:
    assert "a float has no rows" in (await ask(row_count(), 1.5)).reason


async def test_without_a_column_age_counts_from_when_the_output_was_made() -> None:
    assert await passes(fresh(60))
    found = await ask(fresh(59))
    assert found.reason == "the output of train is 60 s old, more than 59 s"
    assert found.evidence == {"newest": "2013-02-01T11:59:00+00:00", "age_s": 60.0, "max_age_s": 59}


INSTANTS = [
    [NOW - timedelta(hours=3), NOW - timedelta(hours=1), None],
    [datetime(2013, 2, 1, 11), None],  # noqa: DTZ001
    ["2013-02-01T13:00:00+02:00"],
    [date(2013, 2, 1)],
]


@pytest.mark.parametrize("instants", INSTANTS)
async def test_with_a_column_age_counts_from_its_newest_value(instants: list[Any]) -> None:
    hours = 12 if instants == [date(2013, 2, 1)] else 1
    for output in (
        pl.DataFrame({"at": instants}),
        pl.DataFrame({"at": instants}).to_arrow(),
        [{"at": one} for one in instants],
    ):
        assert await passes(fresh(hours * 3600, column="at"), output)
        assert not await passes(fresh(hours * 3600 - 1, column="at"), output)


async def test_no_rows_and_no_such_column_are_not_fresh() -> None:
    empty = pl.DataFrame(schema={"at": pl.Datetime})
    assert "no rows" in (await ask(fresh(1e9, column="at"), empty)).reason
    assert "there is no column 'when'; there are at" in (await ask(fresh(1e9, column="when"), empty)).reason
    assert "no instant" in (await ask(fresh(1e9, column="n"), FRAME)).reason


# Schema.


@pytest.mark.parametrize("output", [FRAME, FRAME.to_arrow(), ROWS, [Row(n=1, name="a")], {"n": 1, "name": "x"}])
async def test_rows_of_a_model_are_valid_in_any_form(output: Any) -> None:
    assert await passes(schema_valid(Row), output)


@pytest.mark.parametrize("output", [pl.DataFrame(BAD_ROWS), pa.Table.from_pylist(BAD_ROWS), BAD_ROWS])
async def test_failing_rows_are_counted_and_the_first_are_shown(output: Any) -> None:
    found = await ask(schema_valid(Row), output)
    assert found.reason.startswith("5 of 1201 rows are not as Row says: row 0, n: Input should be greater")
    assert [one["row"] for one in found.evidence["first_failing"]] == [0, 300, 600, 900, 1200]
    assert found.evidence["first_failing"][1]["value"] == {"n": -1, "name": "a"}


async def test_an_object_that_is_not_as_its_model_says_fails() -> None:
    found = await ask(schema_valid(Row), {"n": "x"})
    assert "n: " in found.reason
    assert "name: Field required" in found.reason


async def test_a_missing_column_is_told_once_and_not_for_every_row() -> None:
    assert (await ask(schema_valid(Row), FRAME.drop("name"))).reason == "column name is missing"


TYPED = pl.DataFrame({"n": [1], "x": [1.5], "s": ["a"], "at": [NOW], "on": [date(2013, 1, 1)], "b": [True]})


@pytest.mark.parametrize("output", [TYPED, TYPED.to_arrow(), TYPED.to_dicts()], ids=["polars", "arrow", "records"])
@pytest.mark.parametrize(
    ("schema", "passed"),
    [
        ({"n": int, "x": float, "s": str, "at": datetime, "on": date, "b": bool}, True),
        ({"n": pl.Int64, "s": pl.String, "at": pl.Datetime}, True),
        ({"n": "Int64", "x": "double", "s": "string", "on": "date32[day]"}, True),
        ({"n": pa.int64(), "s": pa.string(), "b": pa.bool_()}, True),
        ({"n": pl.Int32}, False),
        ({"n": float}, False),
        ({"s": pa.int64()}, False),
        ({"x": "int64"}, False),
        ({"missing": int}, False),
    ],
)
async def test_columns_have_the_types_that_are_named(schema: Any, passed: bool, output: Any) -> None:
    assert await passes(schema_valid(schema), output) is passed


async def test_a_wrong_column_is_told_with_both_types() -> None:
    found = await ask(schema_valid({"n": float, "y": int}), TYPED)
    assert found.reason == "column n is Int64, not float; column y is missing"


@pytest.mark.parametrize("output", [FRAME, FRAME.to_arrow(), ROWS])
async def test_an_arrow_schema_says_where_nulls_may_be(output: Any) -> None:
    loose = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("name", pa.string())])
    strict = pa.schema([pa.field("name", pa.string(), nullable=False)])
    assert await passes(schema_valid(loose), output)
    assert (await ask(schema_valid(strict), output)).reason == "column name holds 1 nulls and may hold none"


async def test_what_has_no_columns_fails_with_its_type() -> None:
    assert "a float was returned" in (await ask(schema_valid({"n": int}), 1.5)).reason


def test_a_schema_is_one_of_three_things() -> None:
    with pytest.raises(TypeError, match="give a pydantic model"):
        schema_valid(["n"])


# Checks.


def has_rows(output: Any) -> bool:
    return len(output) > 0


async def is_small(output: Any, params: Any) -> None:
    assert len(output) < 2, "too many rows"


async def test_every_check_is_run_and_the_report_is_kept() -> None:
    found = await ask(tests_pass(has_rows, is_small), ROWS)
    assert found.reason.startswith("failed: is_small (too many rows")
    assert [(one["name"], one["passed"]) for one in found.evidence["checks"]] == [
        ("has_rows", True),
        ("is_small", False),
    ]
    assert await passes(tests_pass(has_rows, is_small), ROWS[:1])


@dataclass
class Checked:
    name: str
    passed: bool


@dataclass
class Verdict:
    passed: bool
    checks: list[Checked]


@pytest.mark.parametrize(
    ("report", "passed"),
    [
        ({"passed": True}, True),
        ({"passed": False}, False),
        ({"checks": {"a": True, "b": True}}, True),
        ({"checks": {"a": True, "b": False}}, False),
        ({"checks": [{"name": "a", "passed": False}], "passed": True}, False),
        ({"checks": [{"name": "a"}]}, False),
        ({"checks": [{"name": "a", "passed": "yes"}]}, False),
        (Verdict(True, [Checked("a", True)]), True),
        (Verdict(False, [Checked("a", True)]), False),
        ({}, False),
        (None, False),
    ],
)
async def test_without_checks_the_outputs_own_report_decides(report: Any, passed: bool) -> None:
    assert await passes(tests_pass(), report) is passed


async def test_a_report_says_which_check_failed_and_an_output_without_one_what_is_missing() -> None:
    found = await ask(tests_pass(), {"checks": [{"name": "bias", "passed": False, "value": 7}]})
    assert found.reason == "failed: bias"
    assert found.evidence == {"checks": [{"name": "bias", "passed": False, "value": 7}]}
    assert "stage 'train' has neither `passed` nor `checks`" in (await ask(tests_pass(), 1)).reason


def test_checks_are_functions() -> None:
    with pytest.raises(TypeError, match="put the gate 'fresh' on the arrow"):
        tests_pass(fresh(1))  # type: ignore[arg-type]


# Approval.


@pytest.mark.parametrize(
    ("by", "reason"), [("leads", "waits for leads"), (["a", " b\n"], "waits for a or b"), (None, "anybody")]
)
async def test_an_approval_waits_for_a_person(by: Any, reason: str) -> None:
    found = await ask(approved(by=by))
    assert found.state is GateState.WAITING
    assert reason in found.reason


# Functions.


def is_january(event: Event) -> Any:
    return np.bool_(event.data["month"] == 1)


def by_itself(frame: pl.DataFrame) -> bool:
    return frame.height == 2


def whole(everything: GateContext, output: Any) -> GateResult:
    return GateResult.of(everything.output is output, evidence={"at": everything.now, "of": {1: np.float64(0.5)}})


def silent(metrics: dict[str, float]) -> None:
    assert metrics == {}


async def slow(now: datetime) -> bool:
    return now == NOW


@pytest.mark.parametrize("function", [is_january, by_itself, whole, silent, slow])
async def test_any_function_can_be_a_gate(function: Any) -> None:
    assert await passes(function, FRAME)
    assert as_gate(function).needs_output is (function in (by_itself, whole))


async def test_evidence_is_made_plain() -> None:
    assert (await ask(whole, FRAME)).evidence == {"at": NOW.isoformat(), "of": {"1": 0.5}}


def raises(output: Any) -> bool:
    return bool(1 / 0)


def away(output: Any) -> bool:
    raise Transient("the catalogue does not answer")


def unsure(output: Any) -> Any:
    return "maybe"


def refuses(output: Any) -> bool:
    return False


def asserts(output: Any) -> None:
    assert output is None


async def test_a_function_that_raises_has_failed_and_its_error_is_the_evidence() -> None:
    found = await ask(raises)
    assert found.reason == "raises raised ZeroDivisionError: division by zero"
    assert "1 / 0" in found.evidence["traceback"]
    assert not found.evidence["transient"]
    assert (await ask(away)).evidence["transient"]


@pytest.mark.parametrize(
    ("function", "reason"),
    [(refuses, "refuses returned False"), (unsure, "returned a str: return a bool"), (asserts, "assert")],
)
async def test_a_function_that_does_not_pass_says_how(function: Any, reason: str) -> None:
    found = await ask(function, FRAME)
    assert found.state is GateState.FAILED
    assert reason in found.reason


# What a gate is shown.


async def test_an_output_is_read_for_a_gate_that_asks_and_plain_data_always() -> None:
    store = open_store("memory://")
    with Scratch() as scratch:
        frame, plain = await save(FRAME, store, scratch), await save({"a": 1}, store, scratch)
        assert await output_for(approved(), frame, store, None, scratch) is None
        assert await output_for(approved(), plain, store, None, scratch) == {"a": 1}
        assert FRAME.equals(await output_for(row_count(), frame, store, pl.DataFrame, scratch))


@pytest.mark.parametrize("by", [5, [5], ["ann", None], {"ann": 1}, b"ann"])
def test_voters_that_are_no_names_are_refused(by: Any) -> None:
    with pytest.raises(ValueError, match=r"^approved\(by=.*\): give a role, as in by='leads', or a list of names"):
        approved(by=by)
