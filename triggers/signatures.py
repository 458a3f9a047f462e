"""Who sent this webhook: one small verifier for each scheme, over the raw bytes and in constant time.

A secret is text, or `env:NAME` for the environment variable NAME, looked up when it is needed. Of several secrets
each one verifies, for rotation. Another provider is one more class with `delivery_headers`, `check` and `verify`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal, Protocol

from triggers.errors import InvalidEvent, InvalidTrigger
from triggers.headers import fold, on_the_wire

Secret = str | Sequence[str]

DELIVERY_HEADERS = ("X-GitHub-Delivery", "webhook-id", "Idempotency-Key")

_UNIX_SECONDS = re.compile(r"[0-9]{1,12}")
_BEARER = re.compile(r"bearer[ ]++([!-~]++)", re.IGNORECASE)


class BadSignature(InvalidEvent):
    """The sender did not show that it knows the secret: 401."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=401)


class Verifier(Protocol):
    """Tells the right sender from anybody else.

    `delivery_headers` may name the delivery, best first. They are those the scheme's own sender sets: any other
    header could be added to a captured delivery to make it look new.
    """

    delivery_headers: ClassVar[Sequence[str]]

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing or malformed: asked once, when its pipeline loads."""

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`, and nothing else whatever was sent."""


@dataclass(frozen=True)
class HMAC:
    """A digest of the raw body under a shared secret, in one header: `prefix`, then the encoded digest."""

    delivery_headers: ClassVar[Sequence[str]] = DELIVERY_HEADERS

    header: str
    algorithm: Literal["sha256", "sha384", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    secret: Secret = field(kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if not self.header:
            raise InvalidTrigger("HMAC: header is empty: name the one that carries the signature")
        if self.algorithm not in ("sha256", "sha384", "sha512", "sha1"):
            raise InvalidTrigger(f"HMAC: algorithm {self.algorithm!r}: use sha256, sha384, sha512 or sha1")
        if self.encoding not in ("hex", "base64"):
            raise InvalidTrigger(f"HMAC: encoding {self.encoding!r}: use hex or base64")
        if _is_literal(self.secret):
            self.check()

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing."""
        resolve(self.secret, f"HMAC({self.header})")

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        given = _required(fold(headers), self.header)
        if not given.startswith(self.prefix):
            raise BadSignature(f"header {self.header} does not start with {self.prefix!r}")
        given = given[len(self.prefix) :]
        sent = on_the_wire(given.lower() if self.encoding == "hex" else given)
        for secret in resolve(self.secret, f"HMAC({self.header})"):
            digest = hmac.digest(secret, body, self.algorithm)
            expected = digest.hex().encode() if self.encoding == "hex" else base64.b64encode(digest)
            if hmac.compare_digest(expected, sent):
                return
        raise _no_match(self.header)


@dataclass(frozen=True)
class GitHub:
    """GitHub's `X-Hub-Signature-256`. Its older SHA-1 header is not accepted."""

    delivery_headers: ClassVar[Sequence[str]] = ("X-GitHub-Delivery",)

    secret: Secret = field(repr=False)

    def __post_init__(self) -> None:
        if _is_literal(self.secret):
            self.check()

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing."""
        resolve(self.secret, "GitHub")

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        HMAC("X-Hub-Signature-256", prefix="sha256=", secret=self.secret).verify(headers, body, now)


@dataclass(frozen=True)
class StandardWebhooks:
    """Standard Webhooks (standardwebhooks.com), symmetric `v1` signatures: secrets are base64 after `whsec_`.

    A delivery whose timestamp is more than `tolerance_s` off is refused, so that it cannot be replayed later.
    """

    delivery_headers: ClassVar[Sequence[str]] = ("webhook-id",)

    secret: Secret = field(repr=False)
    tolerance_s: float = 300.0

    def __post_init__(self) -> None:
        if _is_literal(self.secret):
            self.check()

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing or not base64."""
        self._keys()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        folded = fold(headers)
        delivery, sent_at, signatures = (
            _required(folded, f"webhook-{part}") for part in ("id", "timestamp", "signature")
        )
        if not _UNIX_SECONDS.fullmatch(sent_at):
            raise BadSignature("header webhook-timestamp: send whole seconds since 1970")
        if abs(now.timestamp() - int(sent_at)) > self.tolerance_s:
            raise BadSignature(f"header webhook-timestamp is more than {self.tolerance_s:g} s off: check both clocks")
        offered = [on_the_wire(one[3:]) for one in signatures.split() if one.startswith("v1,") and len(one) == 47]
        signed = b"%b.%b.%b" % (on_the_wire(delivery), sent_at.encode(), body)
        for key in self._keys():
            expected = base64.b64encode(hmac.digest(key, signed, "sha256"))
            if any(hmac.compare_digest(expected, one) for one in offered):
                return
        raise _no_match("webhook-signature")

    def _keys(self) -> list[bytes]:
        return [_decoded(secret) for secret in resolve(self.secret, "StandardWebhooks")]


@dataclass(frozen=True)
class Bearer:
    """A token in clear, `Authorization: Bearer TOKEN` (RFC 6750): for senders that cannot sign."""

    delivery_headers: ClassVar[Sequence[str]] = DELIVERY_HEADERS

    token: Secret = field(repr=False)

    def __post_init__(self) -> None:
        if _is_literal(self.token):
            self.check()

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing."""
        resolve(self.token, "Bearer")

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        found = _BEARER.fullmatch(_required(fold(headers), "Authorization"))
        given = on_the_wire(found[1]) if found else b""
        if not any(hmac.compare_digest(token, given) for token in resolve(self.token, "Bearer")):
            raise BadSignature("header Authorization: send Bearer and the token of this webhook")


def resolve(secret: Secret, what: str) -> list[bytes]:
    """The secrets themselves. Raises `InvalidTrigger` naming `what` and the variable that is not set."""
    secrets = [_resolve(one, what) for one in ([secret] if isinstance(secret, str) else secret)]
    if not all(secrets) or not secrets:
        raise InvalidTrigger(f"{what}: the secret is empty: give it as text or as 'env:NAME'")
    return secrets


def _resolve(secret: str, what: str) -> bytes:
    if not secret.startswith("env:"):
        return secret.encode("utf-8", "surrogateescape")
    value = os.environ.get(secret[4:], "")
    if not value:
        raise InvalidTrigger(f"{what}: environment variable {secret[4:]!r} is not set: export the secret in it")
    return value.encode("utf-8", "surrogateescape")


def _is_literal(secret: Secret) -> bool:
    return not any(one.startswith("env:") for one in ([secret] if isinstance(secret, str) else secret))


def _decoded(secret: bytes) -> bytes:
    text = secret.removeprefix(b"whsec_")
    try:
        key = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise InvalidTrigger("StandardWebhooks: the secret is not base64 after whsec_: copy it again from the sender")
    return key


def _required(folded: Mapping[str, str], name: str) -> str:
    value = folded.get(name.lower(), "")
    if not value.strip():
        raise BadSignature(f"header {name} is missing: this webhook takes signed deliveries only")
    return value


def _no_match(header: str) -> BadSignature:
    return BadSignature(f"header {header} does not match the body: do both sides hold the same secret?")
