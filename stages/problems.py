"""What is wrong with a pipeline, gathered so that its author sees all of it at once, each with file and line."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from stages.errors import InvalidPipeline

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# Where the code of this floor and the one below is, and what has no file (the `__init__` of a dataclass).
_NOT_THE_AUTHORS = (
    *(f"{Path(__file__).parents[1] / floor}{os.sep}" for floor in ("stages", "triggers")),
    "<",
)


def in_our_words(told: str) -> str:
    """What a validator raised, without what pydantic writes before it."""
    return told.removeprefix("Value error, ").removeprefix("Assertion failed, ")


@dataclass(slots=True)
class Problems:
    """Found while a pipeline is put together. `here` is the file and line of its `Pipeline(...)`."""

    pipeline: str
    here: str
    found: list[str] = field(default_factory=list)

    def add(self, what: str, where: str | None = None) -> None:
        """Note a problem, at `where` or at the pipeline's own place."""
        self.found.append(f"{where or self.here}: {what}")

    def name(self, kind: str, name: Any, where: str | None = None) -> None:
        """Note a name that is not made of letters, digits, `_` and `-`, or starts with a digit or `-`."""
        if not isinstance(name, str) or not NAME.fullmatch(name):
            self.add(f"{kind} name {name!r}: use letters, digits, _ and -, and start with a letter or _", where)

    def settle(self) -> None:
        """Raise `InvalidPipeline` with everything found, or nothing."""
        if self.found:
            listed = "\n".join(f"  {one}" for one in self.found)
            raise InvalidPipeline(f"pipeline {self.pipeline!r} does not join up:\n{listed}")


def place_of_function(function: Callable[..., Any]) -> str:
    """`file:line` of a function's definition, relative to the working folder where it is below it."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    return _place(code.co_filename, code.co_firstlineno) if code is not None else repr(function)


def caller(depth: int) -> tuple[str, str]:
    """The module, and `file:line`, of the call `depth` frames above the caller of this function."""
    frame = sys._getframe(depth + 1)
    return frame.f_globals.get("__name__", "__main__"), _place(frame.f_code.co_filename, frame.f_lineno)


def place_of_error(error: BaseException) -> str:
    """`file:line` of where an exception was raised; for one of Tidemill's own, of the call that led there."""
    at, found = error.__traceback__, "somewhere"
    while at is not None:
        file = at.tb_frame.f_code.co_filename
        if not file.startswith(_NOT_THE_AUTHORS):
            found = _place(file, at.tb_lineno)
        at = at.tb_next
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` where something like `name` is known, else nothing."""
    close = get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _place(file: str, line: int) -> str:
    path, here = Path(file), Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{line}"
