"""Which paths a pattern means: `landing/**/*.csv` for files, `landing/dt=*/` for whole folders."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass

from triggers.errors import InvalidTrigger

WILD = re.compile(r"[*?\[]")
ANY_DEPTH = "**"

Spots = frozenset[int]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A pattern as segments from `/` on. A walk carries `Spots`: which segments may match the next name.

    As shells do, `*` does not match a leading dot, and `**` (any number of folders) does not enter such folders.
    """

    text: str
    base: str
    folders: bool
    segments: tuple[Callable[[str], bool] | None, ...]

    @classmethod
    def of(cls, text: str, root: str) -> Pattern:
        """The pattern `text` under the absolute folder `root`. Raises `InvalidTrigger`."""
        check_pattern(text)
        fixed = [] if text.startswith("/") else _names(root)
        names = [name for name in _names(text) if name != "."]
        if names[-1] == ANY_DEPTH:
            names.append("*")
        literal = next((at for at, name in enumerate(names[:-1]) if WILD.search(name)), len(names) - 1)
        base = "/" + "/".join(fixed + names[:literal])
        segments = [name.__eq__ for name in fixed] + [_segment(name) for name in names]
        return cls(text, base, text.endswith("/"), tuple(segments))

    def start(self) -> Spots:
        """The spots before the first name after `/`."""
        return self._open({0})

    def enter(self, spots: Spots, name: str) -> Spots:
        """The spots inside the folder `name`. None left: nothing below it can match."""
        inside = set()
        for spot in spots:
            segment = self.segments[spot]
            if segment is None:
                if not name.startswith("."):
                    inside.add(spot)
            elif spot + 1 < len(self.segments) and segment(name):
                inside.add(spot + 1)
        return self._open(inside)

    def accepts(self, spots: Spots, name: str) -> bool:
        """Whether the pattern ends with `name` here."""
        last = len(self.segments) - 1
        segment = self.segments[last]
        return last in spots and segment is not None and segment(name)

    def means(self, path: str) -> bool:
        """Whether it means the file at the absolute `path`, or the folder, where that ends in `/`."""
        names = _names(path)
        spots = self.start()
        for name in names[:-1]:
            spots = self.enter(spots, name)
        return bool(names) and self.folders == path.endswith("/") and self.accepts(spots, names[-1])

    def _open(self, spots: set[int]) -> Spots:
        """With every spot that `**`, matching nothing, lets through."""
        opened = set(spots)
        for spot in sorted(spots):
            while self.segments[spot] is None:
                spot += 1
                opened.add(spot)
        return frozenset(opened)


def check_pattern(text: str) -> None:
    """Raise `InvalidTrigger` where `text` cannot be a pattern."""
    if not text.strip("/"):
        raise InvalidTrigger(f'Files("{text}"): the pattern is empty: name files, such as "landing/*.csv"')
    if "\0" in text or ".." in _names(text):
        raise InvalidTrigger(
            f'Files("{text}"): a pattern cannot hold ".." or NUL: write it from the root down, or as an absolute path'
        )
    check_brackets(text, f'Files("{text}")')
    if _names(text)[-1] == ".":
        raise InvalidTrigger(f'Files("{text}"): a pattern cannot end in ".": end it with "/" to mean the folder itself')


def check_brackets(text: str, what: str) -> None:
    """Raise `InvalidTrigger` for a `[` that nothing closes: it would stand for itself, which is seldom meant."""
    for name in text.split("/"):
        begins = name.find("[")
        while begins >= 0:
            # As fnmatch has it, a `]` right at the start belongs to the set.
            first = begins + (2 if name[begins + 1 : begins + 2] == "!" else 1)
            ends = name.find("]", first + 1)
            if ends < 0:
                raise InvalidTrigger(
                    f'{what}: "[" in {name!r} is not closed: end it with "]"; for the sign write "[[]"'
                )
            begins = name.find("[", ends)


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _segment(name: str) -> Callable[[str], bool] | None:
    if name == ANY_DEPTH:
        return None
    if not WILD.search(name):
        return name.__eq__
    matches = re.compile(fnmatch.translate(name)).match
    if name.startswith("."):
        return lambda candidate: matches(candidate) is not None
    return lambda candidate: not candidate.startswith(".") and matches(candidate) is not None
