"""A batch of Kafka's format 2, record by record, each for itself: one that is broken spoils no other one. Pure.

The format is that of Kafka's documentation, "Message Format", "Record Batch" and "Record".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from aiokafka import codec

UNREADABLE = "tidemill-unreadable"
"""The header by which those who see the record know why it is unreadable."""

_HEADER = struct.Struct(">qiibIhiqqqhii")
_CODECS: Mapping[int, Callable[[bytes], bytes]] = {
    0: lambda raw: raw,
    1: codec.gzip_decode,
    2: codec.snappy_decode,
    3: codec.lz4_decode,
    4: codec.zstd_decode,
}


class Broken(ValueError):
    """Bytes that are not what the format says."""


@dataclass(frozen=True, slots=True)
class Read:
    """A record with what the client wants to know of one. `why` says why it is broken; then `value` are its bytes."""

    offset: int
    value: bytes | None
    why: str = ""
    key: bytes | None = None
    timestamp: int = -1
    timestamp_type: int = 0
    named: tuple[tuple[str, bytes | None], ...] = ()
    checksum: None = None

    @property
    def headers(self) -> tuple[tuple[str, bytes | None], ...]:
        """Those it has, and why it is broken."""
        return (*self.named, (UNREADABLE, self.why.encode())) if self.why else self.named


def records_in(raw: bytes, last: int) -> Iterator[Read]:
    """The records of one batch whose checksum is right, none behind the offset `last`.

    Raises `Broken`, or what its codec raises, where nothing of it can be read.
    Where a record's length is broken nobody knows where the next one begins: the rest is one broken record, at the
    last offset.
    """
    base, _, _, magic, _, attributes, _, first_ms, max_ms, _, _, _, count = _HEADER.unpack_from(raw)
    if magic != 2:
        raise Broken(f"format {magic}")
    if attributes & 7 not in _CODECS:
        raise Broken(f"compressed in an unknown way ({attributes & 7})")
    payload = _CODECS[attributes & 7](raw[_HEADER.size :])
    when = (max_ms, 1) if attributes & 8 else (first_ms, 0)
    at, least = 0, base
    for _ in range(count):
        try:
            length, start = _varint(payload, at)
            if length < 0 or start + length > len(payload):
                raise Broken(f"its length, {length}, is wrong")
        except (Broken, IndexError) as error:
            yield Read(last, payload[at:], f"offsets {least} to {last} cannot be told apart: {error}")
            return
        at = start + length
        if least > last:
            raise Broken("it has more records than offsets")
        record = _record(payload[start:at], base, range(least, last + 1), *when)
        least = record.offset + 1
        yield record


def _record(body: bytes, base: int, free: range, first_ms: int, stamped: int) -> Read:
    try:
        # Behind one byte of attributes.
        delta_ms, at = _varint(body, 1)
        delta, at = _varint(body, at)
        offset = base + delta
        if offset not in free:
            raise Broken(f"its offset, {offset}, is not one of {free[0]} to {free[-1]}")
        key, at = _bytes(body, at)
        value, at = _bytes(body, at)
        count, at = _varint(body, at)
        named: list[tuple[bytes, bytes | None]] = []
        for _ in range(count):
            name, at = _bytes(body, at)
            worth, at = _bytes(body, at)
            if name is None:
                raise Broken("a header has no name")
            named.append((name, worth))
        if at != len(body) or count < 0:
            raise Broken(f"it has {len(body)} bytes, its parts {at}")
    except (Broken, IndexError) as error:
        return Read(free[0], body, f"not a record as Kafka has them: {error}")
    why = next((f"the name of its header {name!r} is not UTF-8" for name, _ in named if not _is_text(name)), "")
    headers = tuple((name.decode("utf-8", "backslashreplace"), worth) for name, worth in named)
    return Read(offset, value, why, key, first_ms if stamped else first_ms + delta_ms, stamped, headers)


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _bytes(body: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = _varint(body, at)
    if length < 0:
        return None, at
    if at + length > len(body):
        raise Broken("a part of it is longer than itself")
    return body[at : at + length], at + length


def _varint(body: bytes, at: int) -> tuple[int, int]:
    """A zigzag number of up to ten bytes. Raises `IndexError` where the bytes end."""
    number = 0
    for shift in range(0, 70, 7):
        byte = body[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
    raise Broken("a number in it does not end")
