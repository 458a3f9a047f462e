"""What a file or folder looked like: the cheap answer to "did it change?"."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from triggers.files.policy import Policy, Promise, Verdict


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or a folder of `files` files, as the file system showed it. `key` is its encoded path below the root."""

    path: str
    key: str
    stamp: str
    size_bytes: int
    mtime_ns: int
    patterns: tuple[int, ...]
    verdict: Verdict
    promises: Mapping[str, Promise] = field(default_factory=dict)
    files: int | None = None

    @property
    def mark(self) -> int:
        """Its stamp, small."""
        return hash(self.stamp)


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a folder that lands as a whole. `name` is its path below that folder."""

    name: str
    path: str
    status: os.stat_result


def file_stamp(status: os.stat_result) -> str:
    """Changes whenever a file is written or replaced, even if its size and mtime were put back: ctime cannot be."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}"


def folder_stamp(members: Sequence[Member]) -> str:
    """Changes whenever a file in the folder is written, replaced, added or removed."""
    size_bytes = sum(member.status.st_size for member in members)
    newest_ns = max((member.status.st_mtime_ns for member in members), default=0)
    listing = hashlib.blake2b(digest_size=16)
    for member in members:
        listing.update(os.fsencode(f"{member.name}\0{file_stamp(member.status)}\0"))
    return f"{size_bytes}:{newest_ns}:{len(members)}:{listing.hexdigest()}"


def members_of(folder: str, policy: Policy) -> Sequence[Member]:
    """The data files below `folder`, by name: none hidden, ignored, linked, or a marker. Raises OSError."""
    return sorted(_members(folder, policy), key=lambda member: member.name)


def _members(folder: str, policy: Policy) -> Iterator[Member]:
    inside = [("", folder)]
    while inside:
        prefix, path = inside.pop()
        with os.scandir(path) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.name.startswith(".") or policy.ignores(entry.name):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    inside.append((f"{name}/", entry.path))
                elif not policy.is_sign(entry.name):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        yield Member(name, entry.path, status)
