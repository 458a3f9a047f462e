"""RSA keys made for one test, and signatures and certificates by them: written from RFC 8017 and RFC 5280."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Literal

EXPONENT = 65_537
BEFORE = {
    "sha1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
}


@dataclass(frozen=True)
class KeyPair:
    """Both halves of a key."""

    modulus: int
    private: int

    def sign(self, message: bytes, algorithm: Literal["sha1", "sha256"] = "sha256") -> bytes:
        """A PKCS #1 v1.5 signature."""
        size = (self.modulus.bit_length() + 7) // 8
        digest = BEFORE[algorithm] + hashlib.new(algorithm, message).digest()
        padded = b"\x00\x01" + b"\xff" * (size - 3 - len(digest)) + b"\x00" + digest
        return pow(int.from_bytes(padded, "big"), self.private, self.modulus).to_bytes(size, "big")

    def certificate(self, not_before: datetime, not_after: datetime, *, version: bool = True) -> bytes:
        """A certificate, in PEM. It is signed by nobody: it is believed for where it was fetched."""
        rsa = bytes.fromhex("300d06092a864886f70d0101010500")
        key = der(0x30, rsa, der(0x03, b"\x00", der(0x30, number(self.modulus), number(EXPONENT))))
        times = der(0x30, *(der(0x17, f"{at:%y%m%d%H%M%SZ}".encode()) for at in (not_before, not_after)))
        fields = [number(1), rsa, der(0x30), times, der(0x30), key]
        signed = der(0x30, *([der(0xA0, number(2))] if version else []), *fields)
        whole = der(0x30, signed, rsa, der(0x03, b"\x00"))
        return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(whole) + b"-----END CERTIFICATE-----\n"


@cache
def key_pair(name: str = "") -> KeyPair:
    """A new key for each name."""
    one, other = prime(), prime()
    return KeyPair(one * other, pow(EXPONENT, -1, (one - 1) * (other - 1)))


def der(tag: int, *parts: bytes) -> bytes:
    """One value of DER."""
    content = b"".join(parts)
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def number(value: int) -> bytes:
    """A whole number of DER: one bit more than it needs, for its sign."""
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def prime() -> int:
    """A number of 640 bits that is prime as far as forty witnesses tell."""
    while True:
        guess = secrets.randbits(640) | (0b11 << 638) | 1
        if guess % EXPONENT != 1 and all(guess % small for small in (3, 5, 7, 11, 13)) and is_prime(guess):
            return guess


def is_prime(guess: int) -> bool:
    """Miller and Rabin's test."""
    odd, twos = guess - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(40):
        power = pow(secrets.randbelow(guess - 3) + 2, odd, guess)
        if power in (1, guess - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % guess
            if power == guess - 1:
                break
        else:
            return False
    return True
