"""The language of `where`: which events a trigger wants. Pure, and complete over attributes, extensions and data.

A key of `where` is a CloudEvents attribute or extension if the event has it, else a dotted path into `data`;
`data.x.y` always means data, and a number is an index of a list. `kafkaheaders.NAME` is a header of a Kafka record. A
wanted value is a scalar (equal; None: null or absent), a list (any of), or a mapping of operators that must all hold.
`any`, `all` and `not` also stand as keys of `where` itself and then hold further `where`s.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from triggers.comparing import COMPARISONS, compares, is_measure
from triggers.errors import InvalidTrigger
from triggers.event import HEADERS, Event
from triggers.plain import not_json

ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "absent"})()

_LISTS = (list, tuple)
_SCALARS = (str, int, float, bool, type(None))
_SHOWN_CHARACTERS = 60
_IN_HEADERS = f"{HEADERS}."


def select(path: str, event: Event) -> Any:
    """What `path` leads to in an event, or `ABSENT`. Times come out as RFC 3339 text."""
    if path == "data":
        return ABSENT if event.data is None else event.data
    if path.startswith("data."):
        return walk(path[5:], event.data)
    value = event.attribute(path)
    if value is None:
        if path.startswith(_IN_HEADERS) and HEADERS in event.extensions:
            return walk(path.removeprefix(_IN_HEADERS), _headers_of(event))
        return walk(path, event.data)
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _headers_of(event: Event) -> Any:
    try:
        return json.loads(str(event.extensions[HEADERS]))
    except ValueError:
        # Not ours: any sender of CloudEvents may use the name.
        return ABSENT


def walk(path: str, value: Any) -> Any:
    """What a dotted path leads to in a JSON value, or `ABSENT`."""
    while path:
        if isinstance(value, Mapping) and path in value:
            return value[path]
        step, _, path = path.partition(".")
        value = _step(step, value)
    return value


def _step(step: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return value.get(step, ABSENT)
    if isinstance(value, (list, tuple)) and step.isascii() and step.isdigit() and len(step) < 10:
        index = int(step)
        return value[index] if index < len(value) else ABSENT
    return ABSENT


def mismatch(where: Mapping[str, Any], event: Event) -> str | None:
    """The first thing about `event` that is not as `where` wants it, for people to read; None when all is."""
    for key, wanted in where.items():
        reason = _JOINS[key](wanted, event) if key in _JOINS else _mismatch_at(key, wanted, event)
        if reason is not None:
            return reason
    return None


@dataclass(frozen=True, slots=True)
class Miss:
    """A clause of `where` that an event does not fulfil. `found` is `ABSENT` where the event has nothing there, and
    where the clause is an `any` or `not` of several paths; `told` says it for people.
    """

    clause: str
    wanted: Any
    found: Any
    told: str


def misses(where: Mapping[str, Any], event: Event) -> Iterator[Miss]:
    """Every clause that says no, not only the first; those of an `all` one by one."""
    for key, wanted in where.items():
        if key == "all":
            for part in wanted:
                yield from misses(part, event)
        elif key in _JOINS:
            reason = _JOINS[key](wanted, event)
            if reason is not None:
                yield Miss(key, wanted, ABSENT, reason)
        elif (told := _mismatch_at(key, wanted, event)) is not None:
            yield Miss(key, wanted, select(key, event), told)


def _mismatch_at(path: str, wanted: Any, event: Event) -> str | None:
    value = select(path, event)
    return None if _holds(wanted, value) else f"{path} is {_show(value)}, wanted {_tell(wanted)}"


def _join_any(alternatives: Any, event: Event) -> str | None:
    reasons = []
    for where in alternatives:
        reason = mismatch(where, event)
        if reason is None:
            return None
        reasons.append(reason)
    return " and ".join(reasons)


def _join_all(parts: Any, event: Event) -> str | None:
    return next((reason for where in parts if (reason := mismatch(where, event)) is not None), None)


def _join_not(where: Any, event: Event) -> str | None:
    if mismatch(where, event) is not None:
        return None
    held = [f"{path} is {_show(select(path, event))}" for path in where if path not in _JOINS]
    return (" and ".join(held) or "all of it holds") + ", which `not` excludes"


_JOINS: Mapping[str, Callable[[Any, Event], str | None]] = {"any": _join_any, "all": _join_all, "not": _join_not}


def _equal(wanted: Any, value: Any) -> bool:
    if wanted is None:
        return value is None or value is ABSENT
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        return wanted.keys() == value.keys() and all(_same(one, value[name]) for name, one in wanted.items())
    if isinstance(wanted, (list, tuple)) and isinstance(value, (list, tuple)):
        return len(wanted) == len(value) and all(map(_same, wanted, value))
    return _same_scalar(wanted, value)


def _same(wanted: Any, value: Any) -> bool:
    """Within an object or a list: null is there, and equals only itself."""
    return value is None if wanted is None else _equal(wanted, value)


def _same_scalar(wanted: Any, value: Any) -> bool:
    # In JSON true is not 1, in Python it is.
    return isinstance(wanted, bool) is isinstance(value, bool) and bool(wanted == value)


def _holds(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Mapping):
        return all(_OPERATORS[name](operand, value) for name, operand in wanted.items())
    if isinstance(wanted, _LISTS):
        return any(_holds(one, value) for one in wanted)
    return _equal(wanted, value)


_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "exact": _equal,
    "prefix": lambda operand, value: isinstance(value, str) and value.startswith(operand),
    "suffix": lambda operand, value: isinstance(value, str) and value.endswith(operand),
    "glob": lambda operand, value: isinstance(value, str) and fnmatchcase(value, operand),
    **{name: partial(compares, name) for name in COMPARISONS},
    "exists": lambda operand, value: (value is not ABSENT) is operand,
    "any": lambda operand, value: any(_holds(one, value) for one in operand),
    "all": lambda operand, value: all(_holds(one, value) for one in operand),
    "not": lambda operand, value: not _holds(operand, value),
}


def check_where(where: Mapping[str, Any], what: str) -> None:
    """Refuse a `where` that cannot mean anything. Raises `InvalidTrigger` naming `what`, the key and the remedy."""
    wrong = not_json(where)
    if wrong is not None:
        raise InvalidTrigger(f"{what}: where has {wrong}")
    _check_clauses(where, what)


def _check_clauses(where: Mapping[str, Any], what: str) -> None:
    if not isinstance(where, Mapping):
        raise InvalidTrigger(f"{what}: where must be a mapping of paths to wanted values, not {type(where).__name__}")
    for key, wanted in where.items():
        if not isinstance(key, str) or not all(key.split(".")):
            raise InvalidTrigger(f"{what}: where has the key {key!r}: use an attribute or a dotted path into data")
        if key == "not":
            _check_clauses(wanted, f"{what}: where not")
        elif key in _JOINS:
            for one in _several(wanted, f"{what}: where {key} (write data.{key} for a field of that name)"):
                _check_clauses(one, f"{what}: where {key}")
        else:
            _check_wanted(wanted, f"{what}: where {key}")


def check_params(params: Mapping[str, Any], what: str) -> None:
    """Refuse a `params` mapping that names neither a path nor `{"value": ...}`. Raises `InvalidTrigger`."""
    if not isinstance(params, Mapping):
        raise InvalidTrigger(f"{what}: params must be a mapping of parameters to paths, not {type(params).__name__}")
    wrong = not_json(params)
    if wrong is not None:
        raise InvalidTrigger(f"{what}: params has {wrong}")
    for name, path in params.items():
        literal = isinstance(path, Mapping) and set(path) == {"value"}
        if not literal and not (isinstance(path, str) and all(path.split("."))):
            raise InvalidTrigger(
                f"{what}: params {name}: {path!r} is neither a path such as 'data.month' nor {{'value': ...}}"
            )


def _check_wanted(wanted: Any, what: str) -> None:
    if isinstance(wanted, Mapping):
        if not wanted:
            raise InvalidTrigger(f"{what}: an empty mapping wants nothing: use one of {', '.join(_OPERATORS)}")
        for name, operand in wanted.items():
            _check_operator(name, operand, what)
    elif isinstance(wanted, _LISTS):
        for one in _several(wanted, what):
            _check_wanted(one, what)
    elif not isinstance(wanted, _SCALARS):
        raise InvalidTrigger(f"{what}: wants a {type(wanted).__name__}: use text, a number, a list or operators")


def _check_operator(name: Any, operand: Any, what: str) -> None:
    if name not in _OPERATORS:
        raise InvalidTrigger(f"{what}: {_unknown(name)}")
    at = f"{what} {name}"
    if name in ("prefix", "suffix", "glob") and not isinstance(operand, str):
        raise InvalidTrigger(f"{at}: needs text, not {operand!r}")
    if name in COMPARISONS and not is_measure(operand):
        raise InvalidTrigger(f"{at}: needs a number, or a time such as '2026-01-31T00:00:00Z', not {operand!r}")
    if name == "exists" and not isinstance(operand, bool):
        raise InvalidTrigger(f"{at}: needs True or False, not {operand!r}")
    if name in ("any", "all"):
        for one in _several(operand, at):
            _check_wanted(one, at)
    if name == "not":
        _check_wanted(operand, at)


def _several(operand: Any, at: str) -> Any:
    if not isinstance(operand, _LISTS) or not operand:
        raise InvalidTrigger(f"{at}: needs a list of at least one, not {operand!r}")
    return operand


def _unknown(name: Any) -> str:
    near = difflib.get_close_matches(str(name), _OPERATORS, n=1)
    if near:
        return f"unknown operator {name!r}: did you mean {near[0]!r}?"
    return (
        f"unknown operator {name!r}: known are {', '.join(_OPERATORS)}; "
        "write the path with dots to reach into data, or {'exact': ...} to compare a whole object"
    )


def _show(value: Any) -> str:
    if value is ABSENT:
        return "absent"
    if isinstance(value, str):
        clipped = value if len(value) <= _SHOWN_CHARACTERS else value[:_SHOWN_CHARACTERS] + "..."
        return json.dumps(clipped, ensure_ascii=False)
    if isinstance(value, _SCALARS):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return "an object"
    return f"{len(value)} bytes" if isinstance(value, bytes) else f"a list of {len(value)}"


def _tell(wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        return " and ".join(_tell_operator(name, operand) for name, operand in wanted.items())
    if isinstance(wanted, _LISTS):
        return "any of " + ", ".join(_tell(one) for one in wanted)
    return _show(wanted)


def _tell_operator(name: str, operand: Any) -> str:
    if name == "exists":
        return "it present" if operand else "it absent"
    if name in ("any", "all"):
        return f"{name} of " + ", ".join(_tell(one) for one in operand)
    if name == "exact":
        return _show(operand)
    if name in COMPARISONS:
        return f"{name.replace('_', ' ')} {operand}"
    return f"{name} {_tell(operand)}"
