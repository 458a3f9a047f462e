"""The digest of code: what a stage is, read from its source and from everything of its author's that it refers to.

It covers the function's own source and, in turn, the functions, classes and plain constants it names, as long as they
are the author's: of the same top-level package, or of any module that is neither installed nor Python's own (and
`stages.canonical`, which stands in for the author's own code). Comments, whitespace and docstrings change nothing.
Installed packages are not in it: pin them by the stage's environment.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import inspect
import re
import sys
import types
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from stages.base import Stage
from stages.source import Source, module_file, read_module, read_object

FRAMEWORK = {"stages", "triggers", "service"}
CANONICAL = "stages.canonical"
_PLAIN = (bool, int, float, complex, str, bytes, type(None), Path)
_VALUE_HOMES = {"datetime", "decimal", "fractions", "numpy", "pandera", "polars", "pyarrow", "uuid", "zoneinfo"}
_ADDRESS = " at 0x"
_INSTALLED = {"site-packages", "dist-packages"}


def code_digest(function: Callable[..., Any]) -> str:
    """BLAKE2b-256 hex of everything of the author's that `function` is made of."""
    return value_digest(function, function.__module__)


def value_digest(value: Any, home: str) -> str:
    """The digest of what a pipeline of the module `home` declares: code, a constant, a gate, a container of these."""
    return digest_text(*_Reader(home).read(value))


def digest_text(*parts: str) -> str:
    """BLAKE2b-256 hex of several texts; no two lists of parts read the same."""
    digest = hashlib.blake2b(digest_size=32)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:%b" % (len(data), data))
    return digest.hexdigest()


class _Reader:
    """Walks from one value to everything it refers to, once each, in an order that depends on names alone."""

    def __init__(self, home: str) -> None:
        self._home = home.partition(".")[0]
        self._numbers: dict[int, int] = {}
        self._texts: list[str] = []
        self._modules: set[str] = set()
        self._alive: list[Any] = []

    def read(self, value: Any) -> list[str]:
        """Texts that together stand for `value`."""
        return [self._told(value), *self._texts]

    def _told(self, value: Any) -> str:
        """A short text for `value`; code is told by its number, and its source added to the texts."""
        if isinstance(value, Stage | types.MethodType | functools.partial):
            return self._told_wrapper(value)
        if isinstance(value, enum.Enum):
            return f"{self._told(type(value))}.{value.name}"
        if isinstance(value, _PLAIN):
            return f"{type(value).__name__} {value!r}"
        if isinstance(value, re.Pattern):
            return f"pattern {value.pattern!r} {value.flags}"
        if isinstance(value, Mapping):
            return f"{{{', '.join(sorted(f'{self._told(key)}: {self._told(one)}' for key, one in value.items()))}}}"
        if isinstance(value, Set):
            return f"{{{', '.join(map(self._told, sorted(value, key=_order)))}}}"
        if isinstance(value, list | tuple):
            return f"[{', '.join(map(self._told, value))}]"
        if inspect.isfunction(value) or inspect.isclass(value):
            return self._told_code(value)
        return self._told_object(value)

    def _told_wrapper(self, value: Any) -> str:
        if isinstance(value, Stage):
            return self._told(value.function)
        if isinstance(value, types.MethodType):
            return f"{self._told(value.__func__)} of {self._told(value.__self__)}"
        return f"partial {self._told(value.func)} {self._told(value.args)} {self._told(value.keywords)}"

    def _told_object(self, value: Any) -> str:
        """An instance: its class, and its fields where these are the author's business and not the library's."""
        kind = type(value)
        if kind.__module__.partition(".")[0] in _VALUE_HOMES and _ADDRESS not in (told := repr(value)):
            return f"{kind.__qualname__} {told}"
        told = self._told_code(kind)
        if id(value) in self._numbers:
            return told
        if dataclasses.is_dataclass(value) or self._is_authors(kind.__module__):
            self._number(value)
            return f"{told} {self._told(_fields(value))}"
        return told

    def _told_code(self, value: Any) -> str:
        if not self._is_authors(value.__module__):
            return f"{value.__module__}.{value.__qualname__}"
        if id(value) not in self._numbers:
            number = self._number(value)
            self._texts[number] = self._text(read_object(value))
        return f"code {self._numbers[id(value)]}"

    def _number(self, value: Any) -> int:
        self._alive.append(value)
        self._texts.append("")
        return self._numbers.setdefault(id(value), len(self._texts) - 1)

    def _text(self, source: Source) -> str:
        parts = [source.text]
        for name in source.names:
            found = source.find(name, self._is_authors)
            if found is not source.ABSENT and self._counts(found):
                parts.append(f"{name} = {self._told(found)}")
        for module in source.imports:
            self._read_module(module)
        return "\n".join(parts)

    def _counts(self, found: Any) -> bool:
        """Whether a name's value may change what code does: the author's code and constants, no modules."""
        if isinstance(found, types.ModuleType | types.BuiltinFunctionType):
            return False
        return not (inspect.isfunction(found) or inspect.isclass(found)) or self._is_authors(found.__module__)

    def _read_module(self, name: str) -> None:
        """A module imported inside a function is read whole, and not imported: it may need another environment."""
        if name in self._modules or not self._is_authors(name):
            return
        self._modules.add(name)
        source = read_module(name)
        if source is not None:
            self._texts.append(f"{name}: {source.text}")
            for module in source.imports:
                self._read_module(module)

    def _is_authors(self, module: str) -> bool:
        top = module.partition(".")[0]
        return module.startswith(f"{CANONICAL}.") if top in FRAMEWORK else is_authors(module, self._home)


def is_authors(module: str, home: str) -> bool:
    """Whether a module is the author's own: of the package of `home`, or neither installed nor Python's nor ours."""
    top = module.partition(".")[0]
    if top in FRAMEWORK:
        return False
    own = home.partition(".")[0]
    if top == own or top in sys.stdlib_module_names:
        return top == own
    file = module_file(module)
    return file is not None and not _INSTALLED.intersection(file.parts)


def _order(member: Any) -> tuple[str, str]:
    """An order of a set's members that is the same in every process."""
    return getattr(member, "__qualname__", ""), repr(member)


def _fields(value: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
    return dict(getattr(value, "__dict__", {}))
