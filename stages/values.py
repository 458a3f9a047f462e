"""Values in and out of the artifact store: a codec for the bytes, the row for small ones, the store for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel

from stages.artifacts import INLINE_LIMIT_BYTES, ArtifactRef, ArtifactStore, digest_of, verified
from stages.codecs.base import Payload, Scratch, codec_of, decode, encode
from stages.fitting import element_type
from stages.gathered import GATHERED, unpack
from stages.kept import NOTHING, Kept

T = TypeVar("T")

AT_ONCE = 16
# After so many values that need no waiting each of them lets others in between.
BREATH = 100
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
    if isinstance(payload, bytes) and len(payload) < INLINE_LIMIT_BYTES:
        return _inline(label, payload)
    return await keep(label, payload, store)


async def keep(label: str, payload: Payload, store: ArtifactStore) -> ArtifactRef:
    """Store encoded bytes, or a file of them."""
    if isinstance(payload, Path):
        size_bytes = payload.stat().st_size
        if size_bytes >= INLINE_LIMIT_BYTES:
            return ArtifactRef(await store.put_file(payload), label, size_bytes)
        payload = payload.read_bytes()
    if len(payload) < INLINE_LIMIT_BYTES:
        return _inline(label, payload)
    return ArtifactRef(await store.put(payload), label, len(payload))


def _inline(label: str, payload: bytes) -> ArtifactRef:
    return ArtifactRef(digest_of(payload), label, len(payload), payload, just_made=True)


async def load(ref: ArtifactRef, store: ArtifactStore, wanted: Any, scratch: Scratch, kept: Kept = NOTHING) -> Any:
    """A value of its own, as the annotation `wanted` says (None: as it was).

    It is checked against its digest, unless it was just made here. What it is made of on disk lives in `scratch`. What
    is `kept` is not read again. Whoever wants an `ArtifactRef` gets `ref`, and nothing is read. Raises `Undecodable`
    and what the store raises.
    """
    if wanted is ArtifactRef:
        return ref
    if ref.codec == GATHERED:
        return await _load_list(ref, store, wanted, scratch, kept)
    if ref.inline is not None:
        return decode(ref.codec, _checked(ref, ref.inline), wanted, scratch)
    if (found := kept.find(ref, wanted)) is not None:
        return found
    payload: Payload
    if codec_of(ref.codec).reads_files:
        payload = scratch.place() / "content"
        await store.fetch_file(ref.digest, payload)
    else:
        payload = await store.get(ref.digest)
    return kept.read(ref, wanted, await asyncio.to_thread(decode, ref.codec, payload, wanted, scratch))


async def content(ref: ArtifactRef, store: ArtifactStore) -> bytes:
    """The bytes of an artifact, checked against its digest."""
    return await store.get(ref.digest) if ref.inline is None else _checked(ref, ref.inline)


def _checked(ref: ArtifactRef, inline: bytes) -> bytes:
    if not ref.just_made:
        verified(ref.digest, digest_of(inline), "its row")
    return inline


async def _load_list(ref: ArtifactRef, store: ArtifactStore, wanted: Any, scratch: Scratch, kept: Kept) -> list[Any]:
    """The results of a mapped stage; None for an item that was skipped."""
    element = element_type(wanted)

    async def one(item: ArtifactRef | None) -> Any:
        return None if item is None else await load(item, store, element, scratch, kept)

    return await all_of([partial(one, item) for item in unpack(await content(ref, store))])


async def all_of(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """The answers of all calls in their order, a few at a time. The first error ends the rest and is raised."""
    answers: dict[int, T] = {}
    left = iter(enumerate(calls))

    async def work() -> None:
        for at, call in left:
            if at % BREATH == 0:
                await asyncio.sleep(0)
            answers[at] = await call()

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(AT_ONCE, len(calls))):
                tasks.create_task(work())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return [answers[at] for at in range(len(calls))]


def is_light(value: Any) -> bool:
    """Whether encoding is quick enough for the event loop: plain data of few items."""
    return _items_left(value, LIGHT_ITEMS) > 0


def _items_left(value: Any, left: int) -> int:
    if value is None or isinstance(value, _SCALARS):
        return left - 1
    if isinstance(value, str | bytes):
        return left - 1 if len(value) < LIGHT_BYTES else 0
    if isinstance(value, BaseModel):
        value = vars(value)
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return 0
    left -= len(value)
    for one in value:
        if left <= 0:
            return 0
        left = _items_left(one, left)
    return left
