"""Artifacts: immutable values at the address of their content, and where their bytes live."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stages.errors import ArtifactCorrupted

INLINE_LIMIT_BYTES = 8192


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """Where an artifact is and how to read it. `digest` is the BLAKE2b-256 hex of the encoded bytes.

    `inline` holds the bytes themselves iff they are fewer than `INLINE_LIMIT_BYTES`; such an artifact is in no store.
    """

    digest: str
    codec: str
    size_bytes: int
    inline: bytes | None = None

    @property
    def identity(self) -> str:
        """What a stage key holds of an input: the same bytes read by another codec are another value."""
        return f"{self.codec}@{self.digest}"


class ArtifactStore(Protocol):
    """Bytes by their digest. Writing the same content twice is harmless; a finished write is whole and durable."""

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
        """Let go of the bytes. Nothing happens where there are none."""


def digest_of(data: bytes) -> str:
    """The address of `data`."""
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def place_of(digest: str) -> str:
    """The path of a digest below a store's root: `ab/cd/abcdef...`."""
    return f"{digest[:2]}/{digest[2:4]}/{digest}"


def verified(digest: str, found: str, where: str) -> None:
    """Raise `ArtifactCorrupted` unless the bytes found have the digest asked for."""
    if found != digest:
        raise ArtifactCorrupted(
            f"artifact {digest} in {where} is corrupted: its bytes have the digest {found}; delete it there and resume "
            f"the run from the stage that made it"
        )
