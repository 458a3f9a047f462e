"""Whether what one stage returns can be what another takes, told from their annotations.

The answer is no only where it is certain: two types of plainly different shapes. Whatever has no shape here fits.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import types
import typing
import uuid
from collections.abc import Mapping, Sequence, Set
from typing import Any

from stages.artifacts import ArtifactRef

_EXACT = {
    type(None): "nothing",
    bool: "a truth value",
    int: "a number",
    float: "a number",
    str: "text",
    datetime.datetime: "text",
    datetime.date: "text",
    datetime.time: "text",
    uuid.UUID: "text",
    bytes: "bytes",
    bytearray: "bytes",
}
_BY_HOME = {
    ("polars", "DataFrame"): "a frame",
    ("polars", "LazyFrame"): "a frame",
    ("pyarrow", "Table"): "a frame",
    ("numpy", "ndarray"): "an array",
    ("sklearn", "BaseEstimator"): "an estimator",
}
_KINDRED = {"a truth value", "a number"}


def fits(produced: Any, wanted: Any) -> bool:
    """Whether a value annotated `produced` may be given to a parameter annotated `wanted` (None: not annotated)."""
    if produced is None or wanted is None:
        return True
    return any(_meet(one, other) for one in alternatives(produced) for other in alternatives(wanted))


def spoken(annotation: Any) -> str:
    """An annotation as a person would write it."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return (
            annotation.__qualname__
            if annotation.__module__ == "builtins"
            else f"{annotation.__module__}.{annotation.__qualname__}"
        )
    return str(annotation)


def without_none(annotation: Any) -> Any:
    """`X` for `X | None` and for `Annotated[X, ...]`; anything else as it is."""
    options = [one for one in alternatives(annotation) if one is not type(None)]
    return options[0] if len(options) == 1 else annotation


def may_be_none(annotation: Any) -> bool:
    """Whether `X | None` is what it says."""
    return type(None) in alternatives(annotation)


def element_type(annotation: Any) -> Any:
    """What a list so annotated holds; None where nobody says, or where it is no list."""
    for one in alternatives(annotation):
        kind = typing.get_origin(one)
        if isinstance(kind, type) and issubclass(kind, Sequence) and typing.get_args(one):
            return typing.get_args(one)[0]
    return None


def alternatives(annotation: Any) -> list[Any]:
    """The options of a union, and what stands behind `Annotated` and `NewType`."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return alternatives(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [one for option in typing.get_args(annotation) for one in alternatives(option)]
    if isinstance(annotation, typing.NewType):
        return alternatives(annotation.__supertype__)
    return [annotation]


def _meet(produced: Any, wanted: Any) -> bool:
    mine, yours = _shape(produced), _shape(wanted)
    return mine is None or yours is None or mine == yours or {mine, yours} == _KINDRED


def _shape(annotation: Any) -> str | None:
    """What the values look like once stored, or None where the annotation leaves it open."""
    kind = typing.get_origin(annotation) or annotation
    if kind is typing.Literal:
        shapes = {_shape(type(value)) for value in typing.get_args(annotation)}
        return shapes.pop() if len(shapes) == 1 else None
    if not isinstance(kind, type) or kind is ArtifactRef:
        return None
    if kind in _EXACT:
        return _EXACT[kind]
    if typing.is_typeddict(kind) or dataclasses.is_dataclass(kind):
        return "an object"
    return _shape_of_class(kind)


def _shape_of_class(kind: type) -> str | None:
    for base in kind.__mro__:
        home = _BY_HOME.get((base.__module__.partition(".")[0], base.__name__))
        if home is not None:
            return home
    if issubclass(kind, pathlib.PurePath):
        return "a path"
    if issubclass(kind, Mapping) or _is_model(kind):
        return "an object"
    if issubclass(kind, Sequence | Set) and not issubclass(kind, str | bytes):
        return "a list"
    return None


def _is_model(kind: type) -> bool:
    from pydantic import BaseModel, RootModel

    return issubclass(kind, BaseModel) and not issubclass(kind, RootModel)
