"""Shared secrets as declarations give them: text, `env:NAME`, or `file:/path`; of several each one counts.

An `env:` or `file:` secret is looked up when it is needed. A file that was changed is read again, so that a secret can
be rotated under a running daemon.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from triggers.errors import InvalidTrigger

Secret = str | Sequence[str]

# What each file held when it could last be read: a delivery must not fail because a file is being replaced.
_held: dict[str, bytes] = {}


def resolve(secret: Secret, what: str) -> list[bytes]:
    """The secrets themselves. Raises `InvalidTrigger` naming `what`, and the variable or file that is missing."""
    secrets = [_resolve(one, what) for one in ([secret] if isinstance(secret, str) else secret)]
    if not all(secrets) or not secrets:
        raise InvalidTrigger(f"{what}: the secret is empty: give it as text, 'env:NAME' or 'file:/path'")
    return secrets


def is_literal(secret: Secret) -> bool:
    """Whether nothing has to be looked up, so that it can be checked where it is declared."""
    return not any(one.startswith(("env:", "file:")) for one in ([secret] if isinstance(secret, str) else secret))


def check(secret: Secret, what: str) -> None:
    """Raises `InvalidTrigger` at declaration for a secret that is given there and is none."""
    if is_literal(secret):
        resolve(secret, what)


def _resolve(secret: str, what: str) -> bytes:
    kind, _, rest = secret.partition(":")
    if kind == "env":
        value = os.environ.get(rest, "")
        if not value:
            raise InvalidTrigger(f"{what}: environment variable {rest!r} is not set: export the secret in it")
        return value.encode("utf-8", "surrogateescape")
    if kind == "file" and rest:
        return _from_file(rest, what)
    return secret.encode("utf-8", "surrogateescape")


def _from_file(path: str, what: str) -> bytes:
    try:
        stat = Path(path).stat()
        _held[path] = _content(path, stat.st_mtime_ns, stat.st_ino)
    except OSError as error:
        if path not in _held:
            raise InvalidTrigger(
                f"{what}: the secret's file {path!r} cannot be read ({error.strerror}): write the secret into it"
            ) from None
    return _held[path]


@lru_cache(maxsize=64)
def _content(path: str, mtime_ns: int, inode: int) -> bytes:
    return Path(path).read_bytes().strip(b"\r\n")
