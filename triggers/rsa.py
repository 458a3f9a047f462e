"""RSA signatures of others, verified with what is public: PKCS #1 v1.5 (RFC 8017), keys from certificates (RFC 5280).

There is no secret here, so nothing has to take the same time whatever it finds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)-----END CERTIFICATE-----")
_SEQUENCE, _INTEGER, _BITS, _UTC_TIME, _LONG_TIME, _VERSION = 0x30, 0x02, 0x03, 0x17, 0x18, 0xA0
# What stands before a digest in a signature (RFC 8017 section 9.2, note 1).
_BEFORE = {
    "sha1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
}
SMALLEST_BITS = 1_024


class NoKey(ValueError):
    """This is no certificate with an RSA key."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An RSA key."""

    modulus: int
    exponent: int

    def verifies(self, signature: bytes, message: bytes, algorithm: Literal["sha1", "sha256"]) -> bool:
        """Whether `signature` is that of the key's owner over `message`."""
        size = (self.modulus.bit_length() + 7) // 8
        given = int.from_bytes(signature, "big")
        if len(signature) != size or given >= self.modulus or self.modulus.bit_length() < SMALLEST_BITS:
            return False
        digest = _BEFORE[algorithm] + hashlib.new(algorithm, message, usedforsecurity=False).digest()
        padded = b"\x00\x01" + b"\xff" * (size - 3 - len(digest)) + b"\x00" + digest
        return pow(given, self.exponent, self.modulus).to_bytes(size, "big") == padded


@dataclass(frozen=True, slots=True)
class Certificate:
    """What matters here of an X.509 certificate."""

    key: PublicKey
    not_before: datetime
    not_after: datetime

    @classmethod
    def of(cls, pem: bytes) -> Certificate:
        """Read a PEM file's first certificate. Raises `NoKey`."""
        found = _PEM.search(pem)
        try:
            der = base64.b64decode(found[1]) if found else b""
            return _certificate(der)
        except (binascii.Error, IndexError, ValueError, StopIteration) as error:
            raise NoKey(f"this is no certificate with an RSA key ({error})") from None


def _certificate(der: bytes) -> Certificate:
    [(_, whole)] = list(_parts(der))
    (_, signed), *_ = _parts(whole)
    fields = [part for part in _parts(signed) if part[0] != _VERSION]
    # serial, algorithm, issuer, validity, subject, key
    not_before, not_after = (_time(*part) for part in _parts(fields[3][1]))
    (_, _), (kind, bits) = _parts(fields[5][1])
    if kind != _BITS or bits[:1] != b"\x00":
        raise NoKey("its key is no string of bits")
    [(kind, pair)] = list(_parts(bits[1:]))
    (first, modulus), (second, exponent) = _parts(pair)
    if (kind, first, second) != (_SEQUENCE, _INTEGER, _INTEGER):
        raise NoKey("its key is not RSA")
    key = PublicKey(int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big"))
    return Certificate(key, not_before, not_after)


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """The tags and contents that follow each other in DER (X.690 section 8.1)."""
    at = 0
    while at < len(der):
        tag, length, at = der[at], der[at + 1], at + 2
        if length & 0x80:
            width = length & 0x7F
            length, at = int.from_bytes(der[at : at + width], "big"), at + width
        if at + length > len(der):
            raise NoKey("it is cut off")
        yield tag, der[at : at + length]
        at += length


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        # Years 50 to 99 are those of the last century (RFC 5280 section 4.1.2.5.1).
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _LONG_TIME:
        raise NoKey("it does not say how long it holds")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
