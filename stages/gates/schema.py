"""The gate on the shape of data: a model for each row, columns with their types, an Arrow or a pandera schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from stages.codecs.base import comes_from, spelled
from stages.gates.base import SHOWN, GateContext, GateResult
from stages.gates.by_column import fits
from stages.gates.pandera import check_pandera, is_for_polars, is_pandera
from stages.gates.table import chunks, columns, count_rows, is_arrow, is_polars, is_records
from stages.problems import in_our_words

_PYTHON_TYPES = (bool, int, float, str, bytes, date, datetime)
_SAME_IN_ARROW = {"large_string": "string", "string_view": "string", "large_binary": "binary", "binary_view": "binary"}


@dataclass(frozen=True)
class SchemaValid:
    """Passes when the output is as `schema` says. Columns it does not name are let through."""

    name: str
    schema: Any
    needs_output: bool = True

    def check(self, evidence: GateContext) -> GateResult:
        """See `Gate`."""
        output = evidence.output
        if isinstance(self.schema, type) and issubclass(self.schema, BaseModel):
            return _check_model(output, self.schema)
        if not (is_polars(output) or is_arrow(output) or is_records(output)):
            return GateResult.of(False, f"a {spelled(type(output))} was returned, and it has no columns to check")
        if is_pandera(self.schema):
            return check_pandera(output, self.schema)
        if comes_from(type(self.schema), "pyarrow", "Schema"):
            expected = {field.name: field.type for field in self.schema}
            return _result(_wrong_columns(output, expected) + _unwanted_nulls(output, self.schema))
        return _result(_wrong_columns(output, self.schema))


def schema_valid(schema: Any, *, name: str = "schema_valid") -> SchemaValid:
    """Passes when the output fits `schema`.

    `schema` is a pydantic model (for each row of a frame or list of records, or for the output itself), a mapping from
    column to type (of polars, of pyarrow, `int`, `float`, `str`, `bool`, `date`, `datetime`, `bytes`, or a type's name
    as its library prints it), a `pyarrow.Schema`, whose fields that are not nullable may hold no nulls, or a schema or
    model of `pandera.polars`.
    """
    known = isinstance(schema, Mapping) or comes_from(type(schema), "pyarrow", "Schema") or is_pandera(schema)
    if not known and not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        raise TypeError(
            f"schema_valid({schema!r}): give a pydantic model, a mapping of columns to types, or a schema of Arrow or"
            " pandera"
        )
    if is_pandera(schema) and not is_for_polars(schema):
        raise TypeError(f"schema_valid({schema!r}): use the schema's flavour for polars: import pandera.polars")
    return SchemaValid(name, schema)


def _check_model(output: Any, model: type[BaseModel]) -> GateResult:
    if not (is_polars(output) or is_arrow(output) or is_records(output)):
        return _check_object(output, model)
    missing = [name for name in _required(model) if (known := columns(output)) is not None and name not in known]
    if missing:
        return _result([f"column {name} is missing" for name in missing])
    if fits(output, model):
        return GateResult.of(True, "", {"rows": count_rows(output), "failing": 0, "first_failing": []})
    rows, failing = 0, 0
    shown: list[dict[str, Any]] = []
    adapter = TypeAdapter(list[model])  # type: ignore[valid-type]
    for chunk in chunks(output):
        try:
            adapter.validate_python(chunk)
        except ValidationError as error:
            wrong = _by_row(error)
            failing += len(wrong)
            shown += [
                {"row": rows + index, "errors": told, "value": chunk[index]}
                for index, told in list(wrong.items())[: SHOWN - len(shown)]
            ]
        rows += len(chunk)
    told = {"rows": rows, "failing": failing, "first_failing": shown}
    first = f": row {shown[0]['row']}, {'; '.join(shown[0]['errors'])}" if shown else ""
    return GateResult.of(
        not failing, f"{failing} of {rows} rows are not as {model.__name__} says{first}" if failing else "", told
    )


def _check_object(output: Any, model: type[BaseModel]) -> GateResult:
    try:
        model.model_validate(output, from_attributes=True)
    except ValidationError as error:
        return _result(
            [_told(one) for one in error.errors(include_url=False, include_context=False, include_input=False)]
        )
    return _result([])


def _required(model: type[BaseModel]) -> list[str]:
    """What the required fields are called in data."""
    fields = model.model_fields.items()
    return [str(field.validation_alias or name) for name, field in fields if field.is_required()]


def _by_row(error: ValidationError) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        found.setdefault(int(one["loc"][0]), []).append(_told({**one, "loc": one["loc"][1:]}))
    return found


def _told(error: Mapping[str, Any]) -> str:
    return f"{'.'.join(map(str, error['loc'])) or 'it'}: {in_our_words(error['msg'])}"


def _wrong_columns(output: Any, expected: Mapping[str, Any]) -> list[str]:
    if is_records(output):
        output = _as_table(output)
    wrong = []
    for name, wanted in expected.items():
        if name not in (columns(output) or ()):
            wrong.append(f"column {name} is missing")
        elif not _has_type(output, name, wanted):
            wrong.append(f"column {name} is {_types(output, name)[0]}, not {getattr(wanted, '__name__', wanted)}")
    return wrong


def _has_type(output: Any, name: str, wanted: Any) -> bool:
    """Compared in the library the wanted type comes from."""
    polars, arrow = _types(output, name)
    if wanted in _PYTHON_TYPES:
        return bool(polars.to_python() is wanted)
    if comes_from(type(wanted), "pyarrow", "DataType"):
        return _plain_arrow(arrow) == _plain_arrow(wanted)
    if isinstance(wanted, str):
        names = {str(polars), polars.base_type().__name__, str(arrow), _plain_arrow(arrow)}
        return wanted.lower() in {one.lower() for one in names}
    return bool(polars == wanted)


def _types(output: Any, name: str) -> tuple[Any, Any]:
    """The type of a column in polars and in pyarrow."""
    import polars as pl

    frame: Any = output if is_polars(output) else pl.from_arrow(output.slice(0, 0))
    table = output if is_arrow(output) else output.head(0).to_arrow()
    return frame.schema[name], table.schema.field(name).type


def _plain_arrow(kind: Any) -> str:
    return _SAME_IN_ARROW.get(str(kind), str(kind))


def _unwanted_nulls(output: Any, schema: Any) -> list[str]:
    table = output if is_arrow(output) else output.to_arrow() if is_polars(output) else _as_table(output)
    strict = [field.name for field in schema if not field.nullable and field.name in table.column_names]
    counts = {name: table[name].null_count for name in strict}
    return [f"column {name} holds {count} nulls and may hold none" for name, count in counts.items() if count]


def _as_table(records: Any) -> Any:
    import pyarrow as pa

    return pa.Table.from_pylist([dict(one) for one in records])


def _result(wrong: list[str]) -> GateResult:
    return GateResult.of(not wrong, "; ".join(wrong[:SHOWN]), {"wrong": wrong} if wrong else {})
