"""Schemas of pandera: itself, and a stand-in with its public names for what is awkward to make it do."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import polars as pl
import pytest

from stages.gates import schema_valid
from tests.unit.test_gates import ask, passes

FRAME = pl.DataFrame({"n": [1, -1, 2, -1], "name": ["a", "b", None, "d"]})


class SchemaErrors(Exception):
    """What `pandera.errors.SchemaErrors` has."""

    def __init__(self, failure_cases: pl.DataFrame) -> None:
        super().__init__("{...}")
        self.failure_cases = failure_cases


CASES = {
    "failure_case": pl.String,
    "schema_context": pl.String,
    "column": pl.String,
    "check": pl.String,
    "check_number": pl.Int32,
    "index": pl.Int32,
}


def not_negative(frame: pl.DataFrame) -> pl.DataFrame:
    """The failure cases of a schema that wants column `n`, and nothing negative in it."""
    if "n" not in frame.columns:
        missing = ("n", "DataFrameSchema", "schema", "column_in_dataframe", None, None)
        return pl.DataFrame([missing], schema=CASES, orient="row")
    wrong = [(str(n), "Column", "n", "at_least(0)", 0, row) for row, n in enumerate(frame["n"]) if n < 0]
    return pl.DataFrame(wrong, schema=CASES, orient="row")


def checked(frame: pl.DataFrame, *, lazy: bool) -> pl.DataFrame:
    assert lazy
    if not (cases := not_negative(frame)).is_empty():
        raise SchemaErrors(cases)
    return frame


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any]:
    """A schema, a model, and a schema of the flavour for pandas."""
    errors = ModuleType("pandera.errors")
    errors.SchemaErrors = SchemaErrors  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pandera", ModuleType("pandera"))
    monkeypatch.setitem(sys.modules, "pandera.errors", errors)

    def validate(self: Any, frame: Any, lazy: bool) -> Any:
        return checked(frame, lazy=lazy)

    home, other = {"__module__": "pandera.api.polars.container"}, {"__module__": "pandera.api.pandas.container"}
    schema = type("DataFrameSchema", (), home | {"validate": validate, "name": None})
    base = type("DataFrameModel", (), {"__module__": "pandera.api.polars.model", "validate": staticmethod(checked)})
    return schema(), type("Flights", (base,), {}), type("DataFrameSchema", (), other)()


@pytest.mark.parametrize("output", [FRAME, FRAME.to_arrow(), FRAME.to_dicts()], ids=["polars", "arrow", "records"])
async def test_failing_rows_are_counted_and_shown(stand_in: tuple[Any, Any, Any], output: Any) -> None:
    schema, model, _ = stand_in
    for one, name in ((schema, "the schema"), (model, "Flights")):
        found = await ask(schema_valid(one), output)
        assert found.reason == f"not as {name} says: 2 of 4 rows: row 1, n: at_least(0) does not hold for -1"
        assert found.evidence["failing"] == 2
        assert [case["row"] for case in found.evidence["first_failing"]] == [1, 3]
        assert found.evidence["first_failing"][1]["value"] == {"n": -1, "name": "d"}
    assert await passes(schema_valid(schema), FRAME.filter(pl.col("n") > 0))


async def test_what_is_wrong_with_the_whole_is_told_without_a_row(stand_in: tuple[Any, Any, Any]) -> None:
    found = await ask(schema_valid(stand_in[0]), FRAME.drop("n"))
    assert found.reason == "not as the schema says: column_in_dataframe does not hold for n"
    assert found.evidence["wrong"] == ["column_in_dataframe does not hold for n"]
    assert "has no columns" in (await ask(schema_valid(stand_in[0]), 1.5)).reason


def test_a_schema_for_pandas_is_refused_when_it_is_declared(stand_in: tuple[Any, Any, Any]) -> None:
    with pytest.raises(TypeError, match=r"import pandera\.polars"):
        schema_valid(stand_in[2])


async def test_pandera_itself_is_understood() -> None:
    import pandera.polars as pa

    schema = pa.DataFrameSchema({"n": pa.Column(int, pa.Check.ge(0)), "name": pa.Column(str, nullable=True)})
    found = await ask(schema_valid(schema), FRAME)
    assert [case["row"] for case in found.evidence["first_failing"]] == [1, 3]
    assert "column_in_dataframe" in (await ask(schema_valid(schema), FRAME.drop("name"))).reason
    assert await passes(schema_valid(schema), FRAME.filter(pl.col("n") > 0))
