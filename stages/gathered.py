"""The results of a mapped stage as one artifact: a list of the addresses of theirs."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any

import orjson

from stages.artifacts import ArtifactRef
from stages.errors import Undecodable

# What stands in the place of a codec: whoever loads such an artifact gets the list of values.
GATHERED = "gathered"


def pack(results: Sequence[ArtifactRef | None]) -> bytes:
    """Addresses as bytes, the same for the same results. None: that item was skipped."""
    return orjson.dumps([None if one is None else _plain(one) for one in results])


def unpack(data: bytes) -> list[ArtifactRef | None]:
    """The addresses `pack` wrote. Raises `Undecodable`."""
    try:
        return [None if one is None else _ref(*one) for one in orjson.loads(data)]
    except (orjson.JSONDecodeError, TypeError, ValueError) as error:
        raise Undecodable(f"the results of a mapped stage cannot be read: {error!r}") from None


def _plain(ref: ArtifactRef) -> list[Any]:
    inline = None if ref.inline is None else b64encode(ref.inline).decode()
    return [ref.digest, ref.codec, ref.size_bytes, inline]


def _ref(digest: str, codec: str, size_bytes: int, inline: str | None) -> ArtifactRef:
    return ArtifactRef(digest, codec, size_bytes, None if inline is None else b64decode(inline))
