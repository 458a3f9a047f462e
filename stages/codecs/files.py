"""Files and folders: a `Path` a stage returns is stored by its content, and its taker gets a copy of its own.

A folder is a tar without times and owners, so that equal folders have equal bytes. The name goes with the artifact.
"""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path, PurePath
from typing import Any

from stages.codecs.base import Payload, Scratch
from stages.errors import NoCodec, Undecodable
from stages.fitting import alternatives

FILE, FOLDER = "file", "folder"


class PathCodec:
    """See the module."""

    name = "path"
    values = "pathlib.Path of a file or folder (stored with its content)"
    reads_files = True

    def takes(self, kind: type) -> bool:
        """See `Codec`."""
        return issubclass(kind, PurePath)

    def encode(self, value: Any, scratch: Scratch) -> tuple[str, Payload]:
        """See `Codec`."""
        path = Path(value)
        if path.is_file():
            return f"{self.name}:{FILE}:{_readable(path.name)}", path
        if not path.is_dir():
            raise NoCodec(f"{path} is neither a file nor a folder: write it before the stage returns")
        packed = scratch.place() / "content.tar"
        with tarfile.open(packed, "w", format=tarfile.PAX_FORMAT) as archive:
            for inner in sorted(path.rglob("*")):
                archive.add(inner, str(inner.relative_to(path)), recursive=False, filter=_anonymous)
        return f"{self.name}:{FOLDER}:{_readable(path.resolve().name)}", packed

    def decode(self, label: str, payload: Payload, wanted: Any, scratch: Scratch) -> Any:
        """See `Codec`."""
        kinds = alternatives(wanted)
        if wanted is not None and not any(kind in (Any, object) or _is_path(kind) for kind in kinds):
            raise Undecodable(f"a file or folder was stored, but {wanted} is wanted: annotate pathlib.Path")
        _, kind, name = label.split(":", 2)
        target = scratch.place() / (PurePath(name).name or "content")
        source = payload if isinstance(payload, Path) else _written(payload, scratch)
        if kind == FILE:
            shutil.move(source, target)
            return target
        with tarfile.open(source) as archive:
            archive.extractall(target, filter="data")
        return target


CODEC = PathCodec()


def _readable(name: str) -> str:
    """A name as text: file names may be any bytes."""
    return name.encode("utf-8", "replace").decode()


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """What is the same wherever and whenever the folder was made."""
    if entry.issym() and not _stays_inside(entry):
        raise NoCodec(f"{entry.name} in it links to {entry.linkname}, out of the folder: copy the file instead")
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
    return entry


def _stays_inside(link: tarfile.TarInfo) -> bool:
    depth = len(PurePath(link.name).parent.parts)
    for step in PurePath(link.linkname).parts:
        depth += -1 if step == ".." else 1
        if depth < 0:
            return False
    return not PurePath(link.linkname).is_absolute()


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, PurePath)


def _written(data: bytes, scratch: Scratch) -> Path:
    file = scratch.place() / "content"
    file.write_bytes(data)
    return file
