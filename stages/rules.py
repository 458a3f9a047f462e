"""What a value that an author declares may be, and how they are told when it is something else."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from reprlib import Repr
from typing import Any

# A century: what adds times of this size to dates and clocks does not overflow.
MOST_S = 100 * 365 * 86_400
MOST_WHOLE = 2**31 - 1

_SHOWN = Repr()
_SHOWN.maxstring = _SHOWN.maxother = 80


@dataclass(frozen=True, slots=True)
class Rule:
    """`allows` tells whether a value will do, whatever it is; `wanted` says what would, after the word "give"."""

    allows: Callable[[Any], bool]
    wanted: str

    def or_none(self) -> Rule:
        """The same rule where None will do as well."""
        return replace(self, allows=lambda value: value is None or self.allows(value))


def broken(rules: Mapping[str, Rule], values: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for every value that its rule does not allow."""
    for name, rule in rules.items():
        if not rule.allows(values[name]):
            yield f"{name}={shown(values[name])}: give {rule.wanted}"


def require(what: str, rules: Mapping[str, Rule], declared: object) -> None:
    """Raise ValueError naming each attribute of `declared`, a `what`, that its rule does not allow."""
    wrong = "; ".join(broken(rules, {name: getattr(declared, name) for name in rules}))
    if wrong:
        raise ValueError(f"{what}: {wrong}")


def shown(value: object) -> str:
    """A value on one line, however large it is or however badly it prints itself."""
    return " ".join(_SHOWN.repr(value).split())


def is_number(value: object) -> bool:
    """Whether it is a finite float, or an int that is one too. A bool is no number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def whole(low: int, high: int = MOST_WHOLE) -> Rule:
    """A whole number from `low` to `high`, both included."""
    wanted = f"a whole number from {low} to {high}" if high < MOST_WHOLE else f"a whole number of at least {low}"
    return Rule(lambda value: is_number(value) and isinstance(value, int) and low <= value <= high, wanted)


def number(low: float, high: float) -> Rule:
    """A number from `low` to `high`, both included."""
    return Rule(lambda value: is_number(value) and low <= value <= high, f"a number from {low:g} to {high:,}")


def seconds() -> Rule:
    """A time that leaves somebody time."""
    return Rule(lambda value: is_number(value) and 0 < value <= MOST_S, "a number of seconds, more than 0")


def truth() -> Rule:
    """True or False, and nothing that merely counts as one."""
    return Rule(lambda value: isinstance(value, bool), "True or False")


def text(wanted: str) -> Rule:
    """Any text but the empty one."""
    return Rule(is_text, wanted)


def one_of(known: Collection[str]) -> Rule:
    """One of a few words."""
    return Rule(lambda value: isinstance(value, str) and value in known, " or ".join(map(repr, known)))


def made_by(kind: type, wanted: str) -> Rule:
    """An instance of a class."""
    return Rule(lambda value: isinstance(value, kind), wanted)


def words(wanted: str) -> Rule:
    """A list of texts. A text alone is none, though Python would read it letter by letter."""
    return Rule(lambda value: is_list(value) and all(map(is_text, value)), wanted)


def function(wanted: str) -> Rule:
    """What can be called and says what it takes."""
    return Rule(_has_signature, wanted)


def _has_signature(value: Any) -> bool:
    try:
        inspect.signature(value)
    except (TypeError, ValueError):
        return False
    return True


def is_text(value: object) -> bool:
    """Whether it is a str that is not empty, and that a database takes as text."""
    if not isinstance(value, str):
        return False
    try:
        return value != "" and b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def is_list(value: object) -> bool:
    """Whether it holds other values, one after the other, and may be read more than once."""
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)
