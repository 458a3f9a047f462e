"""Messages between the daemon and a worker: a JSON head and a body of bytes, the lengths of both before them.

To the worker go `load`, `call`, `answer` and `mute` (print, or log, no more in this attempt); from it come `log`,
`dropped` (how much was not logged), `progress` and `ask`, and one `done` for each `load` and `call`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_LENGTHS = struct.Struct(">II")


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Text that may not be valid UTF-8 travels in the body."""

    kind: str
    head: Mapping[str, Any]
    body: bytes


def pack(kind: str, body: bytes = b"", **head: Any) -> bytes:
    """A message as bytes."""
    packed = orjson.dumps([kind, head], default=dict)
    return b"".join((_LENGTHS.pack(len(packed), len(body)), packed, body))


class Unpacker:
    """Finds the messages in a stream of bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that `data` completes."""
        self._buffer += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> Message | None:
        start = _LENGTHS.size
        if len(self._buffer) < start:
            return None
        head, body = _LENGTHS.unpack_from(self._buffer)
        end = start + head + body
        if len(self._buffer) < end:
            return None
        kind, fields = orjson.loads(self._buffer[start : start + head])
        message = Message(kind, fields, bytes(self._buffer[start + head : end]))
        del self._buffer[:end]
        return message


def to_text(body: bytes) -> str:
    """Text out of a body."""
    return body.decode("utf-8", "replace")


def from_text(text: str) -> bytes:
    """Text for a body, whatever it holds."""
    return text.encode("utf-8", "backslashreplace")
