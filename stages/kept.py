"""Values that a process keeps between attempts, so that a stage is handed what the one before it made or read."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.artifacts import INLINE_LIMIT_BYTES, ArtifactRef
from stages.codecs.base import Handing, Payload, codec_of

DEFAULT_BYTES = 256 << 20
_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Copy:
    """A value that no stage can reach, as one form of its artifact."""

    value: Any
    form: str
    size_bytes: int


class Kept:
    """Up to `most_bytes` of values in memory; those go first that were not asked for longest. For any thread.

    Only values of codecs that can hand one out to many (`Handing`): what a stage does to it, no other stage sees.
    An artifact never changes, so what is kept of it is never stale.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._values: OrderedDict[_Key, Copy] = OrderedDict()
        self._lock = threading.Lock()
        self._size_bytes = 0

    @property
    def held(self) -> Mapping[str, int]:
        """The digests of what is kept, and their bytes in memory."""
        with self._lock:
            return {digest: copy.size_bytes for (digest, _, _), copy in self._values.items()}

    def find(self, ref: ArtifactRef, wanted: Any) -> Any | None:
        """The value as the annotation `wanted` says, or None. Raises `Undecodable` for what it cannot be."""
        codec = codec_of(ref.codec)
        if not self._values or not isinstance(codec, Handing):
            return None
        key = (ref.digest, ref.codec, codec.form(ref.codec, wanted))
        with self._lock:
            copy = self._values.get(key)
            if copy is None:
                return None
            self._values.move_to_end(key)
        return codec.hand_over(copy.value, wanted)

    def read(self, ref: ArtifactRef, wanted: Any, value: Any) -> Any:
        """Keep what was just decoded if there is room for it; returns the value for the stage that wanted it."""
        codec = codec_of(ref.codec)
        if not isinstance(codec, Handing):
            return value
        size_bytes = codec.memory_bytes(value)
        if size_bytes is None or size_bytes > self._most_bytes:
            return value
        self.put(ref, Copy(value, codec.form(ref.codec, wanted), size_bytes))
        return codec.hand_over(value, wanted)

    def copy_of(self, value: Any, label: str, payload: Payload) -> Copy | None:
        """A copy of what a stage made, to keep once it is stored; None where it cannot be kept or is too large."""
        codec = codec_of(label)
        if not self._most_bytes or not isinstance(codec, Handing) or not isinstance(payload, bytes):
            return None
        size_bytes = codec.memory_bytes(value)
        if len(payload) < INLINE_LIMIT_BYTES or size_bytes is None or size_bytes > self._most_bytes:
            return None
        copy = codec.copy_of(value, payload)
        return None if copy is None else Copy(copy, codec.form(label, None), size_bytes)

    def put(self, ref: ArtifactRef, copy: Copy | None) -> None:
        """Keep a value of an artifact."""
        if copy is None:
            return
        key = (ref.digest, ref.codec, copy.form)
        with self._lock:
            known = self._values.pop(key, None)
            self._size_bytes += copy.size_bytes - (0 if known is None else known.size_bytes)
            self._values[key] = copy
            while self._size_bytes > self._most_bytes:
                _, oldest = self._values.popitem(last=False)
                self._size_bytes -= oldest.size_bytes


NOTHING = Kept(0)
