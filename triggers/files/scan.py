"""Looking at folders: which files match, and what the policy says of each. The scan is the truth, watching only a hint.

Everything here blocks, and runs in a thread.
"""

# Paths are plain text here: a Path for each of 100,000 files would cost more than asking the disk for them.
# ruff: noqa: PTH112, PTH116, PTH118, PTH119, PTH120

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from triggers.files.digest import read_manifest
from triggers.files.event import encode_path
from triggers.files.pattern import Pattern, Spots
from triggers.files.policy import Policy, Sign, parse_manifest
from triggers.files.stamp import Found, file_stamp, folder_stamp, members_of

SIGNS_KEPT = 100
UNMARKED_KEPT = 10_000

States = tuple[tuple[int, Spots], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A folder in a walk, and where each pattern stands in it. `trail`: the folders above, where links may loop."""

    path: str
    states: States
    trail: frozenset[tuple[int, int]] = frozenset()

    def child(self, name: str) -> str:
        """The path of `name` in this folder."""
        return f"{self.path.rstrip('/')}/{name}"


@dataclass(slots=True)
class Survey:
    """What one look at the tree told besides the files.

    `troubles` are reasons by path, `matched` counts what the patterns mean, `walked` says that a folder was hinted at.
    `linked` are the patterns that came by a symbolic link to a folder. `unmarked` are folders, by key, with the
    patterns that mean them, whose marker or manifest is not there.
    """

    missing: list[str] = field(default_factory=list)
    troubles: dict[str, str] = field(default_factory=dict)
    linked: set[int] = field(default_factory=set)
    unmarked: dict[str, tuple[int, ...]] = field(default_factory=dict)
    walked: bool = False
    matched: int = 0
    places: dict[str, Place | None] = field(default_factory=dict)
    signs: dict[str, Sign] = field(default_factory=dict)


class Scanner:
    """Finds what `patterns` mean under `policy` and `is_new` does not know yet (given key, stamp and patterns)."""

    def __init__(
        self,
        root: str,
        patterns: Sequence[Pattern],
        policy: Policy,
        is_new: Callable[[str, int, tuple[int, ...]], bool],
        stop: threading.Event,
    ) -> None:
        self._root = root.rstrip("/") + "/"
        self._patterns = patterns
        self._policy = policy
        self._is_new = is_new
        self._stop = stop
        self.cover = cover(pattern.base for pattern in patterns)
        self._given = frozenset(folder for base in self.cover for folder in _lineage(base))
        self._has_folders = any(pattern.folders for pattern in patterns)

    def scan(self, survey: Survey) -> Iterator[Found]:
        """Everything there is."""
        survey.missing = sorted({pattern.base for pattern in self._patterns if not os.path.isdir(pattern.base)})
        for folder in self.cover:
            place = self._place(folder, survey)
            if place is not None and os.path.isdir(folder):
                yield from self._walk(place, survey)

    def look(self, paths: Iterable[str], survey: Survey) -> Iterator[Found]:
        """What there is at `paths`: all below a folder; what a marker or manifest stands for."""
        folders: dict[str, None] = {}
        walked: set[str] = set()
        for path in paths:
            if self._stop.is_set():
                return
            if os.path.dirname(path) not in walked or self._policy.is_sign(os.path.basename(path)):
                yield from self._look(path, survey, walked)
            else:
                walked.add(path)
            if self._has_folders:
                folders.update(dict.fromkeys(self._folders_around(path, survey)))
        for folder in folders:
            yield from self._folder(folder, survey)

    def _look(self, path: str, survey: Survey, walked: set[str]) -> Iterator[Found]:
        parent = self._place(os.path.dirname(path), survey)
        if parent is None:
            return
        name = os.path.basename(path)
        place = self._place(path, survey)
        if place is not None and os.path.isdir(path):
            survey.walked = True
            walked.add(path)
            yield from self._walk(place, survey)
        elif self._policy.is_sign(name):
            survey.signs.pop(path, None)
            told = self._policy.told_by(name)
            yield from self._walk(parent, survey, deep=False) if told is None else self._file(parent, told, survey)
        else:
            yield from self._file(parent, name, survey)

    def _folders_around(self, path: str, survey: Survey) -> Iterator[str]:
        """The folders over `path`, itself included, that a pattern for whole folders means."""
        folder, name = os.path.split(path)
        if self._policy.is_sign(name):
            path = os.path.join(folder, self._policy.told_by(name) or "").rstrip("/")
        while len(path) > 1:
            parent = self._place(os.path.dirname(path), survey)
            if parent is not None and self._accepting(parent.states, os.path.basename(path), folders=True):
                yield path
            path = os.path.dirname(path)

    def _place(self, path: str, survey: Survey) -> Place | None:
        """Where the patterns stand in the folder `path`; None when none of them enters it."""
        if path in survey.places:
            return survey.places[path]
        place: Place | None = Place("/", tuple((at, pattern.start()) for at, pattern in enumerate(self._patterns)))
        for folder in reversed(list(_lineage(path))):
            if folder not in survey.places:
                survey.places[folder] = self._enter(place, os.path.basename(folder), survey) if place else None
            place = survey.places[folder]
        return place

    def _enter(self, parent: Place, name: str, survey: Survey) -> Place | None:
        states = tuple((at, inside) for at, spots in parent.states if (inside := self._patterns[at].enter(spots, name)))
        path = parent.child(name)
        if not states:
            return None
        if path in self._given:
            return Place(path, states)
        if self._policy.ignores(name):
            return None
        status = self._status(path, survey)
        if status is None or not self._policy.follow_symlinks:
            return Place(path, states) if status else None
        here = (status.st_dev, status.st_ino)
        return None if here in parent.trail else Place(path, states, parent.trail | {here})

    def _accepting(self, states: States, name: str, *, folders: bool) -> tuple[int, ...]:
        return tuple(
            at
            for at, spots in states
            if self._patterns[at].folders is folders and self._patterns[at].accepts(spots, name)
        )

    def _walk(self, start: Place, survey: Survey, *, deep: bool = True) -> Iterator[Found]:
        stack = [start]
        while stack and not self._stop.is_set():
            place = stack.pop()
            inside = []
            for name, is_folder in self._names(place, survey):
                if not is_folder:
                    yield from self._file(place, name, survey)
                    continue
                if self._has_folders and self._accepting(place.states, name, folders=True):
                    yield from self._folder(place.child(name), survey)
                deeper = self._enter(place, name, survey) if deep else None
                if deeper is not None:
                    inside.append(deeper)
            stack.extend(reversed(inside))

    def _names(self, place: Place, survey: Survey) -> list[tuple[str, bool]]:
        """What is in a folder, by name, and whether it is a folder itself."""
        try:
            with os.scandir(place.path) as entries:
                found = [(entry.name, self._is_folder(entry, place, survey)) for entry in entries]
        except OSError as error:
            self._trouble(survey, place.path, error)
            return []
        found.sort(key=itemgetter(0))
        return found

    def _is_folder(self, entry: os.DirEntry[str], place: Place, survey: Survey) -> bool:
        if not entry.is_symlink():
            return entry.is_dir()
        # Unlike the entry's own, this does not raise where a link leads round in circles.
        is_folder = os.path.isdir(entry.path)
        if is_folder:
            survey.linked.update(at for at, _ in place.states)
        return is_folder

    def _status(self, path: str, survey: Survey) -> os.stat_result | None:
        """What is at `path`. None where a symbolic link may not be followed, or nothing is there any more."""
        try:
            status = os.lstat(path)
            if not stat.S_ISLNK(status.st_mode):
                return status
            if not self._policy.follow_symlinks:
                survey.troubles[path] = "it is a symbolic link: pass follow_symlinks=True to follow those inside"
                return None
            if not self._is_inside(os.path.realpath(path)):
                survey.troubles[path] = "it is a symbolic link that leads outside: not followed"
                return None
            return os.stat(path)
        except OSError as error:
            self._trouble(survey, path, error)
            return None

    def _is_inside(self, target: str) -> bool:
        bounds = (os.path.realpath(folder).rstrip("/") + "/" for folder in self.cover)
        return any(target.startswith(bound) for bound in (os.path.realpath(self._root).rstrip("/") + "/", *bounds))

    def _file(self, place: Place, name: str, survey: Survey) -> Iterator[Found]:
        patterns = self._accepting(place.states, name, folders=False)
        if not patterns or self._policy.ignores(name) or self._policy.is_sign(name):
            return
        path = place.child(name)
        status = self._status(path, survey)
        if status is None or not stat.S_ISREG(status.st_mode):
            return
        survey.matched += 1
        key, stamp = self._key(path), file_stamp(status)
        if not self._is_new(key, hash(stamp), patterns):
            return
        sign = self._sign(place.path, name, survey)
        verdict = self._policy.judge(name, status.st_size, status.st_mtime_ns, sign)
        promises = {name: sign.promises[name]} if name in sign.promises else {}
        yield Found(path, key, stamp, status.st_size, status.st_mtime_ns, patterns, verdict, promises)

    def _folder(self, path: str, survey: Survey) -> Iterator[Found]:
        parent = self._place(os.path.dirname(path), survey)
        patterns = self._accepting(parent.states, os.path.basename(path), folders=True) if parent else ()
        if self._policy.ignores(os.path.basename(path)) or self._status(path, survey) is None:
            return
        beside = self._policy.is_sign_beside
        sign = self._sign(os.path.dirname(path) if beside else path, os.path.basename(path), survey)
        if self._policy.sign is not None and sign.marked_ns is None:
            if len(survey.unmarked) < UNMARKED_KEPT:
                survey.unmarked[f"{self._key(path)}/"] = patterns
            return
        try:
            members = members_of(path, self._policy)
        except OSError as error:
            self._trouble(survey, path, error)
            return
        survey.matched += 1
        key, stamp = f"{self._key(path)}/", folder_stamp(members)
        if not self._is_new(key, hash(stamp), patterns):
            return
        sizes = {member.name: member.status.st_size for member in members}
        newest_ns = max((member.status.st_mtime_ns for member in members), default=sign.marked_ns or 0)
        verdict = self._policy.judge_folder(sizes, newest_ns, sign)
        total = sum(sizes.values())
        yield Found(path, key, stamp, total, newest_ns, patterns, verdict, sign.promises, len(members))

    def _key(self, path: str) -> str:
        return encode_path(path.removeprefix(self._root))

    def _sign(self, folder: str, name: str, survey: Survey) -> Sign:
        """What tells of the file or folder `name`: looked for in `folder`, once in a survey."""
        sign = self._policy.sign_of(name)
        if sign is None:
            return Sign()
        path = os.path.join(folder, sign)
        if path not in survey.signs:
            if len(survey.signs) >= SIGNS_KEPT:
                survey.signs.clear()
            survey.signs[path] = self._read_sign(path, survey)
        return survey.signs[path]

    def _read_sign(self, path: str, survey: Survey) -> Sign:
        try:
            status = os.lstat(path)
            if self._policy.complete == "marker":
                return Sign(status.st_mtime_ns)
            follow = self._policy.follow_symlinks
            if follow and not self._is_inside(os.path.realpath(path)):
                raise ValueError("it is a symbolic link that leads outside")
            return Sign(status.st_mtime_ns, parse_manifest(read_manifest(path, follow=follow)))
        except ValueError as error:
            survey.troubles[path] = f"it is not a manifest: {error}"
        except OSError as error:
            self._trouble(survey, path, error)
        return Sign()

    def _trouble(self, survey: Survey, path: str, error: OSError) -> None:
        # What is gone by now is no trouble: it is simply not there.
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            survey.troubles[path] = f"cannot be read: {error.strerror or error}"


def _lineage(folder: str) -> Iterator[str]:
    """A folder and those above it."""
    while folder != "/":
        yield folder
        folder = os.path.dirname(folder)


def cover(folders: Iterable[str]) -> list[str]:
    """The fewest of `folders` that hold all of them."""
    covering: list[str] = []
    for folder in sorted(set(folders), key=lambda path: path.rstrip("/") + "/"):
        if not covering or not f"{folder}/".startswith(covering[-1].rstrip("/") + "/"):
            covering.append(folder)
    return covering
