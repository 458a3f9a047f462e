"""Artifacts: immutable values at the address of their content, and where their bytes live."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from stages.errors import ArtifactCorrupted, ArtifactMissing

INLINE_LIMIT_BYTES = 8192
DIGEST_DIGITS = 64
ASIDE = ".aside"
MARK = "%Y%m%dT%H%M%S.%fZ"


@dataclass(slots=True, unsafe_hash=True)
class ArtifactRef:
    """Where an artifact is and how to read it. `digest` is the BLAKE2b-256 hex of the encoded bytes.

    `inline` holds the bytes themselves iff they are fewer than `INLINE_LIMIT_BYTES`; such an artifact is in no store.
    `just_made`: this process digested them itself, and they came from nowhere since.
    Nobody changes one; it is not frozen only because making a frozen one takes three times as long.
    """

    digest: str
    codec: str
    size_bytes: int
    inline: bytes | None = None
    just_made: bool = field(default=False, compare=False, repr=False)

    @property
    def identity(self) -> str:
        """What a stage key holds of an input: the same bytes read by another codec are another value."""
        return f"{self.codec}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact that a store holds, and when it was put there."""

    digest: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class SetAside:
    """An artifact on its way out since `at`. `mark` tells it from the same content set aside at another time."""

    digest: str
    mark: str
    size_bytes: int
    at: datetime


class ArtifactStore(Protocol):
    """Bytes by their digest. Writing the same content twice is harmless; a finished write is whole and durable.

    Whatever is put counts as modified then, to the hour, even where the same content is there already.
    What nothing refers to is first set aside and later dropped. Until then whoever asks for it gets it all the same:
    `get`, `fetch_file` and `exists` bring it back (docs/decisions/0014).
    """

    async def put(self, data: bytes) -> str:
        """Store `data` and return its digest once it is durable. Raises `StoreUnavailable`."""

    async def put_file(self, path: Path) -> str:
        """Store the content of a file without reading it whole into memory."""

    async def get(self, digest: str) -> bytes:
        """The bytes, checked. Raises `ArtifactMissing`, `ArtifactCorrupted` or `StoreUnavailable`."""

    async def fetch_file(self, digest: str, to: Path) -> None:
        """Write the bytes, checked, to the file `to`; on an error there is no file."""

    async def exists(self, digest: str) -> bool:
        """Whether the store holds this digest, without reading it."""

    async def delete(self, digest: str) -> None:
        """Let go of the bytes at once. Nothing happens where there are none."""

    def stored(self) -> AsyncIterator[Stored]:
        """Everything that is not set aside, in no order. What comes and goes meanwhile may be missed."""

    def set_aside(self) -> AsyncIterator[SetAside]:
        """Everything that is set aside, in no order."""

    async def retire(self, digest: str, at: datetime) -> None:
        """Set an artifact aside. Nothing happens where there is none."""

    async def bring_back(self, digest: str) -> bool:
        """Undo `retire`. Whether the store holds the artifact now."""

    async def drop(self, one: SetAside) -> None:
        """Let go of what was set aside. What was put or set aside since then stays."""


def digest_of(data: bytes) -> str:
    """The address of `data`."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def mark_of(at: datetime) -> str:
    """A name, never used before, under which something is set aside at an instant."""
    return f"{at.astimezone(UTC):{MARK}}-{uuid4().hex[:8]}"


def marked_at(mark: str) -> datetime:
    """The instant in a mark."""
    return datetime.strptime(mark.partition("-")[0], MARK).replace(tzinfo=UTC)


def is_digest(text: str) -> bool:
    """Whether a name in a store is an artifact's."""
    return len(text) == DIGEST_DIGITS and all(one in "0123456789abcdef" for one in text)


def place_of(digest: str) -> str:
    """The path of a digest below a store's root: `ab/cd/abcdef...`. Raises `ArtifactMissing` for what is no digest."""
    if not is_digest(digest):
        raise ArtifactMissing(f"{digest[:80]!r} is the name of no artifact")
    return f"{digest[:2]}/{digest[2:4]}/{digest}"


def verified(digest: str, found: str, where: str) -> None:
    """Raise `ArtifactCorrupted` unless the bytes found have the digest asked for."""
    if found != digest:
        raise ArtifactCorrupted(
            f"artifact {digest} in {where} is corrupted: its bytes have the digest {found}; delete it there and resume "
            f"the run from the stage that made it"
        )
