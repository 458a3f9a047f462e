"""`Files`: a file, or a whole folder, that lands and is complete makes one event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import ClassVar, get_args

from triggers.base import Trigger
from triggers.errors import InvalidTrigger
from triggers.files.event import path_of
from triggers.files.pattern import Pattern, check_pattern
from triggers.files.policy import NAME, Complete, Policy, overlap
from triggers.route import FILE, Route

RESCAN_S = 60.0
POLL_S = 5.0

# Names that writers give to what is not complete: rsync and browsers, Hadoop, editors.
UNFINISHED = ("*.tmp", "*.part", "*.partial", "*.crdownload", "*._COPYING_", "*~", "_temporary")

__all__ = ["Files", "path_of"]


@dataclass(frozen=True)
class Files(Trigger):
    """Files that match `pattern`, below the daemon's root unless it is absolute: `landing/**/*.csv`.

    A pattern that ends in `/` means whole folders: `landing/dt=*/` makes one event for each. A stage finds the file by
    `path_of(event)`. An event is made once `complete` holds:

    - `stable`: size, times and inode were the same for `stable_s`.
    - `rename`: at once, because writers rename finished files into place.
    - `marker`: a file called `marker` lies in the same folder; with `{name}` in it, each file has its own, such as
      `{name}.done`. What was written after its marker must also be stable.
    - `manifest`: a JSON file called `manifest` in the same folder lists it, with the right size and checksum:
      `{"files": [{"name": "a.csv", "size_bytes": 12, "sha256": "..."}]}`.

    Its identity is path and content; with `digest=False` path, size and mtime, for files too large to read twice.
    `poll` scans every `rescan_s` (default 5) instead of watching, for network file systems; without it `rescan_s`
    (default 60) is the safety net. Symbolic links are not followed; with `follow_symlinks` those are that stay inside
    the root. Files and folders whose names match one of `ignore`, and hidden ones, are not looked at.
    """

    kind: ClassVar[str] = "files"
    host: ClassVar[str | None] = "triggers.files.listener:FilesListener"

    pattern: str
    _: KW_ONLY
    complete: Complete = "stable"
    stable_s: float = 1.0
    marker: str = "_SUCCESS"
    manifest: str = "manifest.json"
    digest: bool = True
    poll: bool = False
    rescan_s: float | None = None
    follow_symlinks: bool = False
    ignore: Sequence[str] = UNFINISHED

    def default_name(self) -> str:
        """Such as `files:landing/*.csv`."""
        return f"files:{self.pattern}"

    def deaf_to(self, route: Route, pipeline: str) -> str | None:
        """It sees files, or whole folders, that its pattern means and that do not look unfinished."""
        if route.kind != FILE:
            return f"it watches for files like {self.pattern}"
        if not Pattern.of(self.pattern, route.root).means(route.target):
            return f"{route.target} is not like {self.pattern}"
        ignored = next((name for name in route.target.split("/") if self.policy.ignores(name)), None)
        return None if ignored is None else f"{ignored!r} is the name of what is unfinished or hidden: it is ignored"

    def lacks(self, root: Path) -> Sequence[str]:
        """The folder it looks in, while that is not there."""
        folder = Path(Pattern.of(self.pattern, str(root)).base)
        if folder.exists() and not folder.is_dir():
            return [f"{folder} is a file, and no folder to look in: name the folder, or move it away"]
        return [] if folder.is_dir() else [f"folder {folder} does not exist yet: create it"]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_pattern(self.pattern)
        self._check(
            self.complete in get_args(Complete), f"complete={self.complete!r} is not one of {get_args(Complete)}"
        )
        self._check(self.stable_s >= 0, f"stable_s={self.stable_s} is below 0")
        self._check(self.interval_s > 0, f"rescan_s={self.rescan_s} must be above 0")
        self._check(not isinstance(self.ignore, str), 'ignore takes a list of names, such as ["*.tmp"]')
        for setting in ("marker", "manifest"):
            sign = getattr(self, setting)
            self._check(sign not in ("", NAME) and "/" not in sign, f"{setting}={sign!r} is not the name of a file")
            unused = sign == getattr(type(self), setting) or self.complete == setting
            self._check(unused, f'{setting}={sign!r} is for complete="{setting}", and it is "{self.complete}"')
        ignored = overlap(self.ignore, self.pattern)
        self._check(ignored is None, f"all it matches is ignored as {ignored!r}: pass ignore=[] or without that name")

    def _check(self, holds: bool, wrong: str) -> None:
        if not holds:
            raise InvalidTrigger(f'Files("{self.pattern}"): {wrong}')

    @property
    def interval_s(self) -> float:
        """How often everything is scanned."""
        return self.rescan_s if self.rescan_s is not None else POLL_S if self.poll else RESCAN_S

    @property
    def policy(self) -> Policy:
        """What decides when its files are complete."""
        return Policy(
            complete=self.complete,
            stable_s=self.stable_s,
            marker=self.marker,
            manifest=self.manifest,
            digest=self.digest,
            poll=self.poll,
            follow_symlinks=self.follow_symlinks,
            ignore=tuple(self.ignore),
        )
