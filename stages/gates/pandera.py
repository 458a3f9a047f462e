"""Checking a frame by the author's own pandera schema. Nothing of pandera is imported until one is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from stages.codecs.base import comes_from
from stages.gates.base import SHOWN, GateResult
from stages.gates.table import is_arrow, is_polars

_MOST_CASES = 1000


def is_pandera(schema: Any) -> bool:
    """Whether it is a `DataFrameSchema`, or a class that derives from `DataFrameModel`."""
    kind = schema if isinstance(schema, type) else type(schema)
    return comes_from(kind, "pandera", "DataFrameModel" if isinstance(schema, type) else "DataFrameSchema")


def is_for_polars(schema: Any) -> bool:
    """Whether it is of `pandera.polars`, and not of the flavour for pandas or another library."""
    kind = schema if isinstance(schema, type) else type(schema)
    homes = [base.__module__ for base in kind.__mro__ if base.__module__.partition(".")[0] == "pandera"]
    return any("polars" in home for home in homes)


def check_pandera(output: Any, schema: Any) -> GateResult:
    """Passes when `schema` finds nothing wrong; all that it finds is counted, and the first of it shown."""
    errors = import_module("pandera.errors")
    frame = _as_polars(output)
    try:
        schema.validate(frame, lazy=True)
    except errors.SchemaErrors as error:
        return _failed(frame, schema, error)
    return GateResult.of(True, evidence={"rows": frame.height})


def _failed(frame: Any, schema: Any, error: Any) -> GateResult:
    cases = [dict(case) for case in error.failure_cases.head(_MOST_CASES).to_dicts()]
    failing = error.failure_cases["index"].drop_nulls().n_unique()
    told = {
        "rows": frame.height,
        "failing": failing,
        "found": len(error.failure_cases),
        "first_failing": [_told(frame, case) for case in cases if case["index"] is not None][:SHOWN],
        "wrong": [_short(case) for case in cases if case["index"] is None],
    }
    name = schema.__name__ if isinstance(schema, type) else schema.name or "the schema"
    parts = told["wrong"][:SHOWN]
    if told["first_failing"]:
        first = told["first_failing"][0]
        parts.append(f"{failing} of {frame.height} rows: row {first['row']}, {first['error']}")
    return GateResult.of(False, f"not as {name} says: {'; '.join(parts)}", told)


def _told(frame: Any, case: dict[str, Any]) -> dict[str, Any]:
    row = int(case["index"])
    return {"row": row, "error": _short(case), "value": frame.row(row, named=True) if row < frame.height else None}


def _short(case: dict[str, Any]) -> str:
    """One finding. A schema-wide one names its subject as the case itself."""
    where = f"{case['column']}: " if case["schema_context"] == "Column" else ""
    return f"{where}{case['check']} does not hold for {case['failure_case']}"


def _as_polars(output: Any) -> Any:
    import polars as pl

    if is_polars(output):
        return output
    if is_arrow(output):
        return pl.from_arrow(output)
    return pl.DataFrame([dict(one) for one in output], infer_schema_length=None)
