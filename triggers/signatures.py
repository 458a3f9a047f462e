"""Who sent this webhook: one small verifier for each scheme, over the raw bytes and in constant time.

A secret is text, `env:NAME` or `file:/path` (`triggers.secret`). Of several secrets each one verifies, for rotation.
Another provider is one more class with `delivery_headers`, `sender`, `check` and `verify`, as in `triggers.providers`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import ClassVar, Literal, Protocol, runtime_checkable

from triggers.declared import Declared
from triggers.errors import InvalidEvent, InvalidTrigger
from triggers.headers import fold, on_the_wire
from triggers.secret import Secret, check, is_literal, resolve
from triggers.senders import GITHUB, Sender

DELIVERY_HEADERS = ("X-GitHub-Delivery", "webhook-id", "Idempotency-Key")

_UNIX_SECONDS = re.compile(r"[0-9]{1,12}")
# A token of RFC 9110, section 5.6.2.
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_BEARER = re.compile(r"bearer[ ]++([!-~]++)", re.IGNORECASE)


class BadSignature(InvalidEvent):
    """The sender did not show that it knows the secret: 401."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=401)


class Verifier(Protocol):
    """Tells the right sender from anybody else.

    `delivery_headers` may name the delivery, best first. They are those the scheme's own sender sets: any other
    header could be added to a captured delivery to make it look new. `sender` is who words the deliveries, where a
    scheme is that of one provider.
    """

    delivery_headers: ClassVar[Sequence[str]]
    sender: ClassVar[Sender | None]

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing or malformed: asked once, when its pipeline loads."""

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`, and nothing else whatever was sent."""


@runtime_checkable
class SignsBody(Verifier, Protocol):
    """A verifier of senders whose signature covers the body and nothing that names the delivery."""

    def signed(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """What the signature covers, of a delivery that was verified."""


@dataclass(frozen=True)
class HMAC(metaclass=Declared):
    """A digest of the raw body under a shared secret, in one header: `prefix`, then the encoded digest."""

    delivery_headers: ClassVar[Sequence[str]] = DELIVERY_HEADERS
    sender: ClassVar[Sender | None] = None

    header: str
    algorithm: Literal["sha256", "sha384", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    secret: Secret = field(kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.header, str) or not _HEADER.fullmatch(self.header):
            raise InvalidTrigger(
                f"HMAC: header {self.header!r}: no header has that name: give the one that carries the signature"
            )
        if self.algorithm not in ("sha256", "sha384", "sha512", "sha1"):
            raise InvalidTrigger(f"HMAC: algorithm {self.algorithm!r}: use sha256, sha384, sha512 or sha1")
        if self.encoding not in ("hex", "base64"):
            raise InvalidTrigger(f"HMAC: encoding {self.encoding!r}: use hex or base64")
        check(self.secret, f"HMAC({self.header})")

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing."""
        resolve(self.secret, f"HMAC({self.header})")

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        given = required(fold(headers), self.header)
        if not given.startswith(self.prefix):
            raise BadSignature(f"header {self.header} does not start with {self.prefix!r}")
        sent = self._digest(given[len(self.prefix) :])
        secrets = resolve(self.secret, f"HMAC({self.header})")
        if not any(hmac.compare_digest(hmac.digest(one, body, self.algorithm), sent) for one in secrets):
            raise no_match(self.header)

    def signed(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """See `SignsBody`."""
        return body

    def _digest(self, given: str) -> bytes:
        """The digest that was sent. What is none costs no hashing of the body."""
        digest = hex_digest(given) if self.encoding == "hex" else _base64_digest(given)
        if digest is None or len(digest) != hashlib.new(self.algorithm, usedforsecurity=False).digest_size:
            raise BadSignature(f"header {self.header} holds no {self.algorithm} digest in {self.encoding}")
        return digest


@dataclass(frozen=True)
class GitHub(metaclass=Declared):
    """GitHub's `X-Hub-Signature-256`. Its older SHA-1 header is not accepted."""

    delivery_headers: ClassVar[Sequence[str]] = ("X-GitHub-Delivery",)
    sender: ClassVar[Sender | None] = GITHUB

    secret: Secret = field(repr=False)

    def __post_init__(self) -> None:
        check(self.secret, "GitHub")

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing."""
        resolve(self.secret, "GitHub")

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        self._scheme.verify(headers, body, now)

    @cached_property
    def _scheme(self) -> HMAC:
        return HMAC("X-Hub-Signature-256", prefix="sha256=", secret=self.secret)

    def signed(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """See `SignsBody`."""
        return body


@dataclass(frozen=True)
class StandardWebhooks(metaclass=Declared):
    """Standard Webhooks (standardwebhooks.com), symmetric `v1` signatures: secrets are base64 after `whsec_`.

    A delivery whose timestamp is more than `tolerance_s` off is refused, so that it cannot be replayed later.
    """

    delivery_headers: ClassVar[Sequence[str]] = ("webhook-id",)
    sender: ClassVar[Sender | None] = None

    secret: Secret = field(repr=False)
    tolerance_s: float = 300.0

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance_s, "StandardWebhooks")
        if is_literal(self.secret):
            self.check()

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing or not base64."""
        self._keys()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        folded = fold(headers)
        delivery, sent_at, signatures = (
            required(folded, f"webhook-{part}") for part in ("id", "timestamp", "signature")
        )
        check_sent_at(sent_at, "webhook-timestamp", now, self.tolerance_s)
        offered = [on_the_wire(one[3:]) for one in signatures.split() if one.startswith("v1,") and len(one) == 47]
        signed = b"%b.%b.%b" % (on_the_wire(delivery), sent_at.encode(), body)
        for key in self._keys():
            expected = base64.b64encode(hmac.digest(key, signed, "sha256"))
            if any(hmac.compare_digest(expected, one) for one in offered):
                return
        raise no_match("webhook-signature")

    def _keys(self) -> list[bytes]:
        return [_decoded(secret) for secret in resolve(self.secret, "StandardWebhooks")]


@dataclass(frozen=True)
class Bearer(metaclass=Declared):
    """A token in clear, `Authorization: Bearer TOKEN` (RFC 6750): for senders that cannot sign."""

    delivery_headers: ClassVar[Sequence[str]] = DELIVERY_HEADERS
    sender: ClassVar[Sender | None] = None

    token: Secret = field(repr=False)

    def __post_init__(self) -> None:
        check(self.token, "Bearer")

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing."""
        resolve(self.token, "Bearer")

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        found = _BEARER.fullmatch(required(fold(headers), "Authorization", "Bearer and its token only"))
        given = on_the_wire(found[1]) if found else b""
        if not any(hmac.compare_digest(token, given) for token in resolve(self.token, "Bearer")):
            raise BadSignature("header Authorization: send Bearer and the token of this webhook")


def check_tolerance(tolerance_s: float, what: str) -> None:
    """Raises `InvalidTrigger` for a tolerance that nothing would be within."""
    if not 0 < tolerance_s < float("inf"):
        raise InvalidTrigger(f"{what}: tolerance_s is {tolerance_s!r}: give seconds, such as 300")


def check_sent_at(value: str, header: str, now: datetime, tolerance_s: float) -> None:
    """Raises `BadSignature` unless a delivery says it was sent about now, in whole seconds since 1970."""
    if not _UNIX_SECONDS.fullmatch(value):
        raise BadSignature(f"header {header}: send whole seconds since 1970")
    if abs(now.timestamp() - int(value)) > tolerance_s:
        raise BadSignature(f"header {header} is more than {tolerance_s:g} s off: check both clocks")


def hex_digest(value: str) -> bytes | None:
    """The bytes of a digest in hexadecimal, or None."""
    return bytes.fromhex(value) if _HEX.fullmatch(value) and len(value) % 2 == 0 else None


def _base64_digest(value: str) -> bytes | None:
    try:
        return base64.b64decode(on_the_wire(value), validate=True)
    except binascii.Error:
        return None


def _decoded(secret: bytes) -> bytes:
    text = secret.removeprefix(b"whsec_")
    try:
        key = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise InvalidTrigger("StandardWebhooks: the secret is not base64 after whsec_: copy it again from the sender")
    return key


def required(folded: Mapping[str, str], name: str, proof: str = "signed deliveries only") -> str:
    """The value of a header. Raises `BadSignature` where it is missing or blank. `proof` is what it should carry."""
    value = folded.get(name.lower(), "")
    if not value.strip():
        raise BadSignature(f"header {name} is missing: this webhook takes {proof}")
    return value


def no_match(header: str) -> BadSignature:
    """A signature of the right form that nobody with the secret made for this body."""
    return BadSignature(f"header {header} does not match the body: do both sides hold the same secret?")
