"""Values in and out of the artifact store: a codec for the bytes, the row for small ones, the store for the rest."""

from __future__ import annotations

import asyncio
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from stages.artifacts import INLINE_LIMIT_BYTES, ArtifactRef, ArtifactStore, digest_of, verified
from stages.codecs.base import Payload, Scratch, codec_of, decode, encode

LIGHT_BYTES = 65_536
LIGHT_ITEMS = 200
_SCALARS = (bool, int, float, date, UUID, Enum)


async def save(value: Any, store: ArtifactStore, scratch: Scratch, *, what: str = "this") -> ArtifactRef:
    """Encode and store a value; it is durable when this returns, or small enough to live in the row.

    Raises `NoCodec` naming `what` made it, and what the store raises.
    """
    if is_light(value):
        label, payload = encode(value, scratch, what)
    else:
        label, payload = await asyncio.to_thread(encode, value, scratch, what)
    return await keep(label, payload, store)


async def keep(label: str, payload: Payload, store: ArtifactStore) -> ArtifactRef:
    """Store encoded bytes, or a file of them."""
    if isinstance(payload, Path):
        size_bytes = payload.stat().st_size
        if size_bytes >= INLINE_LIMIT_BYTES:
            return ArtifactRef(await store.put_file(payload), label, size_bytes)
        payload = payload.read_bytes()
    if len(payload) < INLINE_LIMIT_BYTES:
        return ArtifactRef(digest_of(payload), label, len(payload), payload)
    return ArtifactRef(await store.put(payload), label, len(payload))


async def load(ref: ArtifactRef, store: ArtifactStore, wanted: Any, scratch: Scratch) -> Any:
    """A fresh value, checked against its digest, as the annotation `wanted` says (None: as it was).

    What it is made of on disk lives in `scratch`. Raises `Undecodable`, and what the store raises.
    """
    if ref.inline is not None:
        verified(ref.digest, digest_of(ref.inline), "its row")
        return decode(ref.codec, ref.inline, wanted, scratch)
    payload: Payload
    if codec_of(ref.codec).reads_files:
        payload = scratch.place() / "content"
        await store.fetch_file(ref.digest, payload)
    else:
        payload = await store.get(ref.digest)
    return await asyncio.to_thread(decode, ref.codec, payload, wanted, scratch)


def is_light(value: Any) -> bool:
    """Whether encoding is quick enough for the event loop: plain data of few items."""
    return _items_left(value, LIGHT_ITEMS) > 0


def _items_left(value: Any, left: int) -> int:
    if isinstance(value, str | bytes):
        return left - 1 if len(value) < LIGHT_BYTES else 0
    if isinstance(value, BaseModel):
        value = vars(value)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return left - 1 if value is None or isinstance(value, _SCALARS) else 0
    left -= len(value)
    for one in value:
        if left <= 0:
            return 0
        left = _items_left(one, left)
    return left
