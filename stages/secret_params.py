"""Finds the values of parameters that pydantic keeps secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic.errors import PydanticInvalidForJsonSchema

from stages.errors import InvalidParams
from stages.params import Params, parse_params


def secret_params(pipeline: str, model: Params | None, raw: Mapping[str, Any] | None) -> list[str]:
    """The text of every `SecretStr` and `SecretBytes` among a run's parameters; none where they do not fit."""
    if model is None or not _has_secrets(model):
        return []
    try:
        return list(_secrets(parse_params(pipeline, model, raw)))
    except InvalidParams:
        return []


@cache
def _has_secrets(model: Params) -> bool:
    """Whether to look at all. What cannot be told by a schema is looked at."""
    try:
        return '"password"' in str(model.model_json_schema()).replace("'", '"')
    except PydanticInvalidForJsonSchema:
        return True


def _secrets(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode("utf-8", "replace")
    elif isinstance(value, BaseModel):
        yield from _secrets(dict(value))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _secrets(one)
    elif isinstance(value, list | tuple | set | frozenset):
        for one in value:
            yield from _secrets(one)
