"""Batches of records as bytes, good and broken."""

from __future__ import annotations

import struct

from aiokafka import codec
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

NOT_UTF8 = b"\xff\xfeME"

_CODECS = {1: codec.gzip_encode, 2: codec.snappy_encode, 3: codec.lz4_encode, 4: codec.zstd_encode}


def batch(
    *, base: int = 0, records: int = 3, broken: bytes = b"NAME", compression: int = 0, producer: int = -1
) -> bytes:
    """Records with the values 0, 1, 2...; the second one has a header whose name is `broken`, of four bytes."""
    builder = DefaultRecordBatchBuilder(2, 0, int(producer >= 0), producer, 0, 0, 1 << 20)
    for number in range(records):
        builder.append(number, 1000 + number, b"k", b"%d" % number, [("NAME" if number == 1 else "good", b"x")])
    raw = bytearray(bytes(builder.build()).replace(b"NAME", broken))
    if compression:
        raw = raw[:61] + _CODECS[compression](bytes(raw[61:]))
        raw[22] |= compression
    struct.pack_into(">qi", raw, 0, base, len(raw) - 12)
    return sealed(raw)


def sealed(raw: bytearray) -> bytes:
    """With the checksum that is right for it."""
    struct.pack_into(">I", raw, 17, calc_crc32c(bytes(raw[21:])))
    return bytes(raw)
