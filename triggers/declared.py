"""What is declared in a pipeline file, called wrongly, says which setting of what is wrong and what may be given.

Every trigger is made this way, and so is what they are given to hold: signatures, calendars, batches, aggregates.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from abc import ABCMeta
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from reprlib import Repr
from typing import Any

from triggers.errors import InvalidTrigger
from triggers.plain import is_text

_ODDITIES = (TypeError, AttributeError, ValueError, LookupError, ArithmeticError)
_SHOWN = Repr()
_SHOWN.maxstring = _SHOWN.maxother = 80
_WORDS: Mapping[Any, str] = {
    str: "text",
    bytes: "bytes",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    type(None): "None",
    Mapping: "a mapping, as in {'name': value}",
    Sequence: "a list",
    Callable: "a function",
}


class Declared(ABCMeta):
    """The metaclass of what people declare. Raises `InvalidTrigger` where Python would raise an error of its own.

    Checks in a class's own words come first: this only speaks where a call does not fit the class at all, where its
    code broke at a value, or where it took one of another type than it says it takes.
    """

    def __call__(cls, *given: Any, **named: Any) -> Any:
        """An instance."""
        try:
            made = super().__call__(*given, **named)
        except _ODDITIES as error:
            raise _refusal(cls, given, named, error) from error
        wrong = _wrong(cls, {name: getattr(made, name) for name in _settings(cls)})
        if wrong is not None:
            raise InvalidTrigger(f"{cls.__name__}: {wrong}")
        return made


def _refusal(cls: type, given: Sequence[Any], named: Mapping[str, Any], error: Exception) -> InvalidTrigger:
    """Why a call failed."""
    takes = inspect.signature(getattr(cls, "__init__"))  # noqa: B009  # the class's own, not an instance's
    try:
        bound = takes.bind(None, *given, **named)
    except TypeError:
        return InvalidTrigger(f"{cls.__name__}: {_misfit(takes, given, named)}")
    if inspect.isabstract(cls):
        below: list[type] = cls.__subclasses__()
        kinds = [one.__name__ for one in below]
        return InvalidTrigger(f"{cls.__name__}: give one of its kinds: {' or '.join(kinds)}")
    settings = {name: value for name, value in bound.arguments.items() if name != "self"}
    return InvalidTrigger(f"{cls.__name__}: {_odd(cls, settings, error)}")


def _misfit(takes: inspect.Signature, given: Sequence[Any], named: Mapping[str, Any]) -> str:
    """What is wrong with a call that does not fit: a name it does not know, a value too many or too few."""
    parameters = {name: one for name, one in takes.parameters.items() if name != "self"}
    unknown = next((name for name in named if name not in parameters), None)
    if unknown is not None:
        near = difflib.get_close_matches(unknown, parameters, n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        return f"there is no setting {unknown!r}{hint or f'; there are {_listed(parameters)}'}"
    by_place = [name for name, one in parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
    if len(given) > len(by_place):
        most = f"only {_listed(by_place)} may be given" if by_place else "nothing is taken"
        are = "1 value is" if len(given) == 1 else f"{len(given)} values are"
        return f"{most} without a name, and {are}: write NAME=VALUE, for one of {_listed(parameters)}"
    twice = next((name for name in by_place[: len(given)] if name in named), None)
    if twice is not None:
        return f"{twice} is given twice, without its name and with it"
    wanted = [name for name, one in parameters.items() if one.default is one.empty]
    missing = [name for name in wanted if name not in (*by_place[: len(given)], *named)]
    return f"it has to be told {_listed(missing)}"


def _odd(cls: type, settings: Mapping[str, Any], error: Exception) -> str:
    """Which setting is not what the class says it takes; what Python said where all are. Tells no secret."""
    wrong = _wrong(cls, settings)
    if wrong is not None:
        return wrong
    if isinstance(error, UnicodeEncodeError):
        return f"{_listed(settings)}: give text that can be written as UTF-8"
    why = type(error).__name__ if _hidden(cls) else f"{type(error).__name__}: {error}"
    return f"this cannot be understood: {_listed(settings)} ({why})"


def _wrong(cls: type, settings: Mapping[str, Any]) -> str | None:
    """The first setting that is not what the class says it takes."""
    hints = _hints(cls)
    for name, value in settings.items():
        secret = name in _hidden(cls)
        shown = f"{name}=..." if secret else f"{name}={_SHOWN.repr(value)}"
        if not secret and not all(map(is_text, [value] if isinstance(value, str) else _texts(value))):
            return f"{shown}: give text that can be written as UTF-8, without a NUL character"
        kinds = list(_kinds(hints.get(name, Any)))
        if not any(_is_of(kind, value) for kind in kinds):
            return f"{shown}: give {' or '.join(dict.fromkeys(map(_worded, kinds)))}"
    return None


@cache
def _settings(cls: type) -> Sequence[str]:
    return [one.name for one in fields(cls) if one.init] if is_dataclass(cls) else []


@cache
def _hidden(cls: type) -> frozenset[str]:
    return frozenset(one.name for one in fields(cls) if one.init and not one.repr) if is_dataclass(cls) else frozenset()


def _texts(value: Any) -> Iterator[str]:
    return (one for one in value if isinstance(one, str)) if isinstance(value, list | tuple) else iter(())


@cache
def _hints(cls: type) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except NameError:
        return {}


def _kinds(hint: Any) -> Iterator[Any]:
    """The kinds of value that a type stands for."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for one in typing.get_args(hint):
            yield from _kinds(one)
    else:
        yield hint


def _is_of(kind: Any, value: Any) -> bool:
    """Whether a value may be of a kind, as far as can be told from outside."""
    base: Any = typing.get_origin(kind) or kind
    if base is typing.Literal:
        return value in typing.get_args(kind)
    if base in (int, float) and isinstance(value, bool):
        return False
    if base is float:
        return isinstance(value, int | float)
    if not isinstance(base, type) or getattr(base, "_is_protocol", False):
        return True
    if not isinstance(value, base):
        return False
    if base is str or not issubclass(base, Sequence):
        return True
    return not isinstance(value, str) and _all_of(typing.get_args(kind)[:1], value)


def _all_of(kinds: Sequence[Any], values: Any) -> bool:
    return all(any(_is_of(one, value) for one in _kinds(kind)) for kind in kinds for value in values)


def _worded(kind: Any) -> str:
    base = typing.get_origin(kind) or kind
    if base is typing.Literal:
        return " or ".join(repr(one) for one in typing.get_args(kind))
    if base in _WORDS:
        return _WORDS[base]
    name = getattr(base, "__name__", str(base))
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"


def _listed(names: Any) -> str:
    found = list(names)
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}" if found else "nothing"
