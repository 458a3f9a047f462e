"""Checking the rows of a frame by the different values in each column: they are few where there are millions of rows.

Only for models whose fields are plain, each for itself. Then a row fits if and only if each of its values does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic_core import SchemaValidator, ValidationError

from stages.gates.table import columns, is_polars

# As many values at once, so that other threads run in between.
AT_ONCE = 5_000
_WRAPPERS = frozenset({"nullable", "default"})
_PLAIN = frozenset(
    {"any", "none", "bool", "int", "float", "decimal", "str", "bytes", "date", "time", "datetime", "timedelta"}
    | {"literal", "enum", "uuid"}
)
# Of a model that makes something else of its rows, or looks at several fields at once.
_UNUSUAL = ("custom_init", "post_init", "root_model")


def fits(output: Any, model: type[BaseModel]) -> bool:
    """Whether every row certainly is as `model` says. False: only a look at each row can tell."""
    validators = _validators(model) if is_polars(output) else None
    if validators is None:
        return False
    given = [name for name in columns(output) or () if name in validators]
    if any(output.schema[name].is_nested() or output.schema[name].is_object() for name in given):
        return False
    return all(_all_fit(output[name].unique(), validators[name]) for name in given)


def _all_fit(values: Any, validator: SchemaValidator) -> bool:
    try:
        for start in range(0, len(values), AT_ONCE):
            validator.validate_python(values[start : start + AT_ONCE].to_list())
    except ValidationError:
        return False
    return True


@lru_cache(256)
def _validators(model: type[BaseModel]) -> Mapping[str, SchemaValidator] | None:
    """What pydantic itself checks each field by, for a list of its values; None where a field is no matter of its own.

    By the model's core schema (pydantic, "Internals: Architecture"), so that nothing it may hold is overlooked.
    """
    schema: Any = model.__pydantic_core_schema__
    inner = schema.get("schema", {})
    config = schema.get("config", {})
    if schema["type"] != "model" or inner["type"] != "model-fields" or any(schema.get(flag) for flag in _UNUSUAL):
        return None
    if config.get("extra_fields_behavior", "ignore") != "ignore" or config.get("validate_default"):
        return None
    found = {}
    for name, one in inner["fields"].items():
        if "validation_alias" in one or not _is_plain(one["schema"]):
            return None
        found[name] = SchemaValidator({"type": "list", "items_schema": one["schema"]}, config)
    return found


def _is_plain(schema: Any) -> bool:
    if schema["type"] in _WRAPPERS:
        return not schema.get("validate_default") and _is_plain(schema["schema"])
    return schema["type"] in _PLAIN
