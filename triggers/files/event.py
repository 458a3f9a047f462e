"""The event a complete file makes, and how its path is written down whatever bytes it is made of."""

from __future__ import annotations

import base64
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from triggers.event import Event

SOURCE = "tidemill:files"
FILE_LANDED = "dev.tidemill.file.landed"
FOLDER_LANDED = "dev.tidemill.folder.landed"

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_UNSAFE = re.compile(r"[%\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def encode_path(path: str) -> str:
    """A path as text that any database, header or terminal takes: readable, and different for different paths.

    Percent-encoded are `%`, control characters and bytes that are not UTF-8; nothing else.
    """
    if path.isascii() and path.isprintable() and "%" not in path:
        return path
    text = os.fsencode(path).decode("utf-8", "surrogateescape")
    return _UNSAFE.sub(lambda found: "".join(map("%{:02X}".format, found[0].encode("utf-8", "surrogateescape"))), text)


def decode_path(text: str) -> str:
    """The path that `encode_path` wrote as `text`."""
    return os.fsdecode(unquote_to_bytes(text))


def path_of(event: Event) -> Path:
    """Where the file or folder of a landed event is; opens whatever bytes its name is made of."""
    raw = event.data.get("path_bytes")
    return Path(event.data["path"] if raw is None else os.fsdecode(base64.b64decode(raw)))


def landed(
    *, path: str, key: str, size_bytes: int, mtime_ns: int, identity: str, digest: str | None, files: int | None
) -> Event:
    """The event of a complete file, or of a folder of `files` files. `key` is its encoded path below the root."""
    raw = os.fsencode(path)
    data: dict[str, Any] = {
        "path": _shown(raw),
        "relative_path": _shown(unquote_to_bytes(key)),
        "size_bytes": size_bytes,
        "mtime_ns": mtime_ns,
        "digest": digest,
    }
    if data["path"].encode() != raw:
        data["path_bytes"] = base64.b64encode(raw).decode()
    if files is not None:
        data["files"] = files
    return Event(
        source=SOURCE,
        id=f"{key}@{identity}",
        type=FILE_LANDED if files is None else FOLDER_LANDED,
        time=_instant(mtime_ns),
        subject=key,
        data=data,
        datacontenttype="application/json",
    )


def _shown(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _instant(mtime_ns: int) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=mtime_ns // 1000)
    except OverflowError:
        return EPOCH
