"""When a file is complete. Pure decisions over what the file system showed."""

from __future__ import annotations

import enum
import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import orjson

Complete = Literal["stable", "rename", "marker", "manifest"]

CHECKSUMS = ("sha256", "sha512", "sha1", "md5", "blake2b")
NAME = "{name}"
LONGEST_MANIFEST = 64 << 20


class Verdict(enum.Enum):
    """What a policy says of a file it sees."""

    READY = "ready"
    UNCHANGED_FIRST = "ready once it was unchanged for stable_s"
    NOT_YET = "not ready: its marker is missing, or its manifest does not describe it"


@dataclass(frozen=True, slots=True)
class Promise:
    """What a manifest says of a file. `algorithm` is one of hashlib's, empty without a checksum."""

    size_bytes: int | None = None
    algorithm: str = ""
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Sign:
    """What lies beside files and tells of them: when their marker was written, or what their manifest promises."""

    marked_ns: int | None = None
    promises: Mapping[str, Promise] = field(default_factory=dict)


class Sighting(NamedTuple):
    """That a file looked like `mark` since `since_s`."""

    mark: int
    since_s: float


@dataclass(frozen=True)
class Policy:
    """How a trigger wants its files: see `triggers.files.Files`. Triggers with equal policies share their scans."""

    complete: Complete
    stable_s: float
    marker: str
    manifest: str
    digest: bool
    poll: bool
    follow_symlinks: bool
    ignore: tuple[str, ...]

    def ignores(self, name: str) -> bool:
        """Whether files and folders called `name` are never looked at."""
        return self._ignored.match(name) is not None

    @cached_property
    def sign(self) -> str | None:
        """How the file is called that tells of the others, if there is one: may hold `{name}`."""
        return {"marker": self.marker, "manifest": self.manifest}.get(self.complete)

    @property
    def is_sign_beside(self) -> bool:
        """Whether each file or folder has a sign of its own, beside it."""
        return self.sign is not None and NAME in self.sign

    def sign_of(self, name: str) -> str | None:
        """The name of the sign that tells of the file `name`."""
        return self.sign and self.sign.replace(NAME, name)

    def is_sign(self, name: str) -> bool:
        """Whether `name` is a sign, and so not data."""
        return self.sign is not None and self._sign_name.match(name) is not None

    def told_by(self, sign: str) -> str | None:
        """The one file that `sign` tells of; None when it tells of its whole folder."""
        match = self._sign_name.match(sign)
        return match.groupdict().get("name") if match else None

    def judge(self, name: str, size_bytes: int, mtime_ns: int, sign: Sign) -> Verdict:
        """Whether a file is complete. A file written after its marker is not covered by it: it must prove stable."""
        if self.complete == "stable":
            return Verdict.UNCHANGED_FIRST
        if self.complete == "rename":
            return Verdict.READY
        if self.complete == "marker":
            return _by_marker(mtime_ns, sign.marked_ns)
        promise = sign.promises.get(name)
        kept = promise is not None and promise.size_bytes in (None, size_bytes)
        return Verdict.READY if kept else Verdict.NOT_YET

    def judge_folder(self, sizes: Mapping[str, int], mtime_ns: int, sign: Sign) -> Verdict:
        """Whether a folder with files of these `sizes`, the newest written at `mtime_ns`, is complete.

        An empty folder is complete only where a marker or an empty manifest says so.
        """
        if self.complete == "marker":
            return _by_marker(mtime_ns, sign.marked_ns)
        if self.complete == "manifest":
            kept = sign.marked_ns is not None and all(
                name in sizes and promise.size_bytes in (None, sizes[name]) for name, promise in sign.promises.items()
            )
            return Verdict.READY if kept else Verdict.NOT_YET
        if not sizes:
            return Verdict.NOT_YET
        return Verdict.READY if self.complete == "rename" else Verdict.UNCHANGED_FIRST

    @cached_property
    def _ignored(self) -> re.Pattern[str]:
        return re.compile("|".join(fnmatch.translate(name) for name in self.ignore) or r"(?!)")

    @cached_property
    def _sign_name(self) -> re.Pattern[str]:
        if self.sign is None:
            return re.compile(r"(?!)")
        return re.compile(re.escape(self.sign).replace(re.escape(NAME), r"(?P<name>.+)") + r"\Z", re.DOTALL)


def _by_marker(mtime_ns: int, marked_ns: int | None) -> Verdict:
    if marked_ns is None:
        return Verdict.NOT_YET
    return Verdict.READY if mtime_ns <= marked_ns else Verdict.UNCHANGED_FIRST


def is_due(sighting: Sighting, now_s: float, stable_s: float) -> bool:
    """Whether what looked like this is still so after `stable_s`. A clock set back starts the wait again."""
    return now_s - sighting.since_s >= stable_s


def sight(mark: int, earlier: Sighting | None, now_s: float) -> Sighting:
    """What is known of a file that looks like `mark` now."""
    if earlier is None or earlier.mark != mark or now_s < earlier.since_s:
        return Sighting(mark, now_s)
    return earlier


def parse_manifest(raw: bytes) -> Mapping[str, Promise]:
    """The promises of `{"files": [{"name": "a.csv", "size_bytes": 12, "sha256": "..."}]}`, by name.

    Names are relative to the manifest; size and checksum are optional. Raises ValueError with the reason.
    """
    decoded = orjson.loads(raw)
    files = decoded.get("files") if isinstance(decoded, dict) else None
    if not isinstance(files, list):
        raise ValueError('it is not {"files": [{"name": ..., "size_bytes": ..., "sha256": ...}]}')
    return dict(_promise(entry) for entry in files)


def _promise(entry: Any) -> tuple[str, Promise]:
    name = entry.get("name") if isinstance(entry, dict) else None
    size_bytes = entry.get("size_bytes") if isinstance(entry, dict) else None
    if not isinstance(name, str) or not (size_bytes is None or type(size_bytes) is int):
        raise ValueError(f'each of its files needs a "name" and, if any, a whole "size_bytes"; not so: {entry!r:.80}')
    algorithm = next((name for name in CHECKSUMS if name in entry), "")
    return name, Promise(size_bytes, algorithm, str(entry.get(algorithm, "")).lower())


def overlap(ignore: Sequence[str], pattern: str) -> str | None:
    """The first of `ignore` that every file of `pattern` would fall under."""
    last = pattern.rstrip("/").rpartition("/")[2]
    sample = re.sub(r"\[[^\]]*\]|[*?]", "x", last)
    return next((name for name in ignore if fnmatch.fnmatchcase(sample, name)), None)
