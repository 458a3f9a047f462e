"""Plain data as JSON: numbers, text, lists, dicts, dates, dataclasses and pydantic models, nested as you like.

What JSON has no word for comes back as its nearest kin (a tuple as a list, a date as text) unless the taker, or else
the maker, annotates the type: then pydantic reads it. The keys of dicts are sorted, so that equal values have equal
digests. Computed fields of models are stored too, for takers that read the model as a dict.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Callable, Mapping
from collections.abc import Set as AnySet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from stages.codecs.base import Payload, Scratch, comes_from, in_memory
from stages.errors import NoCodec, Undecodable

_PLAIN = (bool, int, float, str, list, tuple, dict, set, frozenset, date, datetime, time, timedelta, Decimal, UUID)
_PLAIN_BASES = (*_PLAIN, type(None), enum.Enum, BaseModel, Mapping)
_SORTED = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS
_AS_THEY_ARE: dict[Any, tuple[type, ...]] = {
    bool: (bool,),
    int: (int,),
    float: (float,),
    str: (str,),
    list: (list,),
    dict: (dict,),
    type(None): (type(None),),
}


class JsonCodec:
    """See the module."""

    name = "json"
    values = "plain data, dataclasses and pydantic models (stored as JSON)"
    reads_files = False

    def takes(self, kind: type) -> bool:
        """See `Codec`."""
        return issubclass(kind, _PLAIN_BASES) or dataclasses.is_dataclass(kind) or _is_numpy_scalar(kind)

    def encode(self, value: Any, scratch: Scratch) -> tuple[str, Payload]:
        """See `Codec`."""
        try:
            data = orjson.dumps(value, _plain, _SORTED)
        except TypeError as error:
            raise NoCodec(_advice(error)) from error
        if b"null" in data:
            _refuse_not_finite(value)
        return self.name, data

    def decode(self, label: str, payload: Payload, wanted: Any, scratch: Scratch) -> Any:
        """See `Codec`."""
        data = in_memory(payload)
        if wanted is None or wanted is Any:
            return orjson.loads(data)
        if (expected := _AS_THEY_ARE.get(wanted)) is not None:
            value = orjson.loads(data)
            if isinstance(value, expected):
                return value
        return _validated(data, wanted)


CODEC = JsonCodec()


def _validated(data: bytes, wanted: Any) -> Any:
    try:
        adapter = _adapter(wanted)
    except PydanticUserError as error:
        if typing.get_origin(wanted) in (typing.Union, types.UnionType):
            return orjson.loads(data)
        raise Undecodable(f"plain data cannot be made a {wanted}: annotate a type pydantic knows") from error
    try:
        return adapter.validate_json(data, by_alias=True, by_name=True)
    except ValidationError as error:
        if all(one["type"] == "extra_forbidden" for one in error.errors(include_url=False, include_input=False)):
            # Its own computed fields: a model that forbids extras does not take them back.
            return adapter.validate_json(data, by_alias=True, by_name=True, extra="ignore")
        raise Undecodable(f"the stored value is no {wanted}: {error}") from None


@lru_cache(1024)
def _adapter(wanted: Any) -> TypeAdapter[Any]:
    return TypeAdapter(wanted)


def _plain(value: Any) -> Any:
    """What orjson does not know, in types it knows."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _adapter(type(value)).dump_python(value, mode="json")
    if _is_numpy_scalar(type(value)):
        return value.item()
    for kind, convert in _CONVERSIONS.items():
        if isinstance(value, kind):
            return convert(value)
    raise TypeError


_CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    Mapping: dict,
    tuple: list,
    AnySet: lambda value: sorted(value, key=lambda one: orjson.dumps(one, _plain)),
    Decimal: str,
    timedelta: lambda value: _adapter(timedelta).dump_python(value, mode="json"),
    float: float,
}


def _is_numpy_scalar(kind: type) -> bool:
    return comes_from(kind, "numpy", "generic")


def _advice(error: TypeError) -> str:
    said = str(error)
    if "key" in said:
        return "a key of a dict in it is not text: make the keys text, or return a list of pairs"
    if "serializable" in said:
        inner = said.rpartition(" ")[2]
        return f"there is a {inner} in it: frames, arrays, models, files and bytes must be a stage's whole output"
    return f"it cannot be stored as JSON: {said}"


def _refuse_not_finite(value: Any, at: str = "") -> None:
    """orjson writes NaN and infinities as null, and a number would come back as nothing."""
    if value is None or isinstance(value, str | int):
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NoCodec(f"{at or 'it'} is {value}, for which JSON has no word: use None, or leave it out")
    elif isinstance(value, Mapping):
        for name, one in value.items():
            _refuse_not_finite(one, f"{at}[{name!r}]")
    elif isinstance(value, list | tuple | AnySet):
        for index, one in enumerate(value):
            _refuse_not_finite(one, f"{at}[{index}]")
    elif isinstance(value, BaseModel) or dataclasses.is_dataclass(value) or _is_numpy_scalar(type(value)):
        _refuse_not_finite(_plain(value), at)
