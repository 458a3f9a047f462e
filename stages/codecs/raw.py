"""Bytes, as they are."""

from __future__ import annotations

from typing import Any

from stages.codecs.base import Payload, Scratch, in_memory


class BytesCodec:
    """See the module."""

    name = "bytes"
    values = "bytes"
    reads_files = False

    def takes(self, kind: type) -> bool:
        """See `Codec`."""
        return issubclass(kind, bytes | bytearray)

    def encode(self, value: Any, scratch: Scratch) -> tuple[str, Payload]:
        """See `Codec`."""
        return self.name, bytes(value)

    def decode(self, label: str, payload: Payload, wanted: Any, scratch: Scratch) -> Any:
        """See `Codec`."""
        data = in_memory(payload)
        return bytearray(data) if wanted is bytearray else data

    def form(self, label: str, wanted: Any) -> str:
        """See `Handing`."""
        return "bytes"

    def memory_bytes(self, value: Any) -> int | None:
        """See `Handing`."""
        return len(value) if isinstance(value, bytes) else None

    def copy_of(self, value: Any, payload: bytes) -> Any | None:
        """See `Handing`. Bytes never change."""
        return payload

    def hand_over(self, value: Any, wanted: Any) -> Any:
        """See `Handing`."""
        return bytearray(value) if wanted is bytearray else value


CODEC = BytesCodec()
