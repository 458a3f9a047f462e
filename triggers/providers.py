"""The schemes of CI systems and code hosts, each by its provider's own documentation.

Where a provider signs nothing, its token comes in clear: use TLS. GitHub's scheme is in `triggers.signatures`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import ClassVar
from urllib.parse import parse_qsl

from triggers.declared import Declared
from triggers.errors import InvalidTrigger
from triggers.headers import fold, on_the_wire
from triggers.secret import Secret, check, is_literal, resolve
from triggers.senders import BITBUCKET, BUILDKITE, CIRCLECI, GITEA, GITLAB, JENKINS, Sender
from triggers.signatures import (
    HMAC,
    BadSignature,
    Bearer,
    StandardWebhooks,
    check_sent_at,
    check_tolerance,
    hex_digest,
    no_match,
    required,
)

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 100


@dataclass(frozen=True)
class GitLab(metaclass=Declared):
    """GitLab's secret token (`X-Gitlab-Token`), its signing token (`whsec_...`, Standard Webhooks), or either.

    With both, a delivery that carries a signature is held to it: for moving a hook from the one to the other.
    `X-Gitlab-Event-UUID` names no delivery: hooks that a hook set off share it.
    """

    delivery_headers: ClassVar[Sequence[str]] = ("webhook-id", "Idempotency-Key")
    sender: ClassVar[Sender | None] = GITLAB

    token: Secret | None = field(default=None, repr=False)
    signing: Secret | None = field(default=None, repr=False)
    tolerance_s: float = 300.0

    def __post_init__(self) -> None:
        if self.token is None and self.signing is None:
            raise InvalidTrigger("GitLab: give the hook's secret token (token=), its signing token (signing=), or both")
        if self.token is not None:
            check(self.token, "GitLab")
        if self._signed is not None and self.signing is not None and is_literal(self.signing):
            _check_signing(self.signing)

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing or a signing token is not base64."""
        if self.token is not None:
            resolve(self.token, "GitLab")
        if self.signing is not None:
            _check_signing(self.signing)
        if self._signed is not None:
            self._signed.check()

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        folded, signed = fold(headers), self._signed
        if signed is not None and (self.token is None or "webhook-signature" in folded):
            signed.verify(folded, body, now)
        elif self.token is not None:
            _same_token(folded, "X-Gitlab-Token", self.token, "GitLab")

    @cached_property
    def _signed(self) -> StandardWebhooks | None:
        return None if self.signing is None else StandardWebhooks(self.signing, self.tolerance_s)


@dataclass(frozen=True)
class Bitbucket(metaclass=Declared):
    """Bitbucket's SHA-256 in `X-Hub-Signature`, the name under which GitHub sends a SHA-1. Cloud and Data Center."""

    delivery_headers: ClassVar[Sequence[str]] = ("X-Request-UUID", "X-Request-Id")
    sender: ClassVar[Sender | None] = BITBUCKET

    secret: Secret = field(repr=False)

    def __post_init__(self) -> None:
        check(self.secret, "Bitbucket")

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing."""
        resolve(self.secret, "Bitbucket")

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        self._scheme.verify(headers, body, now)

    @cached_property
    def _scheme(self) -> HMAC:
        return HMAC("X-Hub-Signature", prefix="sha256=", secret=self.secret)

    def signed(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """See `SignsBody`."""
        return body


@dataclass(frozen=True)
class Gitea(metaclass=Declared):
    """Gitea's and Forgejo's `X-Gitea-Signature`: a bare SHA-256 of the JSON, also where that comes in a form."""

    delivery_headers: ClassVar[Sequence[str]] = ("X-Gitea-Delivery",)
    sender: ClassVar[Sender | None] = GITEA

    secret: Secret = field(repr=False)

    def __post_init__(self) -> None:
        check(self.secret, "Gitea")

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing."""
        resolve(self.secret, "Gitea")

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`, also for the empty signature of a sender that was given no secret."""
        folded = fold(headers)
        required(folded, "X-Gitea-Signature")
        self._scheme.verify(folded, self.signed(folded, body), now)

    @cached_property
    def _scheme(self) -> HMAC:
        return HMAC("X-Gitea-Signature", secret=self.secret)

    def signed(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """See `SignsBody`. Raises `BadSignature` for a form that holds more."""
        if fold(headers).get("content-type", "").partition(";")[0].strip().lower() == _FORM:
            return _signed_in_form(body)
        return body


@dataclass(frozen=True)
class CircleCI(metaclass=Declared):
    """CircleCI's `circleci-signature`, a list of `version=digest`: `v1` is known. The body names the delivery."""

    delivery_headers: ClassVar[Sequence[str]] = ()
    sender: ClassVar[Sender | None] = CIRCLECI

    secret: Secret = field(repr=False)

    def __post_init__(self) -> None:
        check(self.secret, "CircleCI")

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing."""
        resolve(self.secret, "CircleCI")

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        given = required(fold(headers), "circleci-signature")
        digests = [one.strip()[3:] for one in given.split(",") if one.strip().startswith("v1=")]
        if len(digests) != 1:
            raise BadSignature("header circleci-signature holds no v1 signature")
        self._scheme.verify({"circleci-signature": digests[0]}, body, now)

    @cached_property
    def _scheme(self) -> HMAC:
        return HMAC("circleci-signature", secret=self.secret)


@dataclass(frozen=True)
class Buildkite(metaclass=Declared):
    """Buildkite's `X-Buildkite-Signature` over its timestamp and the body, or its token in clear.

    `token` is the webhook's token: as `token=` it is compared with `X-Buildkite-Token`, as `signing=` it is the key of
    the signatures, which must be fresh by `tolerance_s`. Which of the two is sent is set at Buildkite.
    """

    delivery_headers: ClassVar[Sequence[str]] = ()
    sender: ClassVar[Sender | None] = BUILDKITE

    token: Secret | None = field(default=None, repr=False)
    signing: Secret | None = field(default=None, repr=False)
    tolerance_s: float = 300.0

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance_s, "Buildkite")
        given = [one for one in (self.token, self.signing) if one is not None]
        if len(given) != 1:
            raise InvalidTrigger("Buildkite: give token= if it sends the token in clear, signing= if it signs with it")
        check(given[0], "Buildkite")

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing."""
        resolve(self.token if self.token is not None else self.signing or "", "Buildkite")

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        folded = fold(headers)
        if self.token is not None:
            _same_token(folded, "X-Buildkite-Token", self.token, "Buildkite")
        elif self.signing is not None:
            self._verify_signature(folded, body, now, self.signing)

    def _verify_signature(self, folded: Mapping[str, str], body: bytes, now: datetime, signing: Secret) -> None:
        given = required(folded, "X-Buildkite-Signature")
        parts = dict(one.strip().partition("=")[::2] for one in given.split(","))
        digest = hex_digest(parts.get("signature", ""))
        if digest is None or "timestamp" not in parts or len(parts) != given.count(",") + 1:
            raise BadSignature("header X-Buildkite-Signature: send timestamp=SECONDS,signature=HEX")
        check_sent_at(parts["timestamp"], "X-Buildkite-Signature", now, self.tolerance_s)
        signed = b"%b.%b" % (parts["timestamp"].encode(), body)
        if not any(hmac.compare_digest(hmac.digest(one, signed, "sha256"), digest) for one in resolve(signing, "")):
            raise no_match("X-Buildkite-Signature")


@dataclass(frozen=True)
class Jenkins(metaclass=Declared):
    """A token of your own, since Jenkins' notification plugins sign nothing: `Authorization: Bearer TOKEN`.

    Where a header cannot be set, put `?access_token=TOKEN` behind the hook's address.
    """

    delivery_headers: ClassVar[Sequence[str]] = ("Idempotency-Key",)
    sender: ClassVar[Sender | None] = JENKINS

    token: Secret = field(repr=False)

    def __post_init__(self) -> None:
        check(self.token, "Jenkins")

    def check(self) -> None:
        """Raises `InvalidTrigger` when a secret is missing."""
        resolve(self.token, "Jenkins")

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature`."""
        self._scheme.verify(headers, body, now)

    @cached_property
    def _scheme(self) -> Bearer:
        return Bearer(self.token)


def _check_signing(signing: Secret) -> None:
    if not all(one.startswith(b"whsec_") for one in resolve(signing, "GitLab")):
        raise InvalidTrigger("GitLab: signing= is no signing token, they begin with whsec_: token= is the secret token")


def _same_token(folded: Mapping[str, str], header: str, token: Secret, what: str) -> None:
    given = on_the_wire(required(folded, header, "deliveries with its token only"))
    if not any(hmac.compare_digest(one, given) for one in resolve(token, what)):
        raise BadSignature(f"header {header} is not the token of this webhook")


def _signed_in_form(body: bytes) -> bytes:
    """The JSON in a form's only field. Raises `BadSignature` for anything else: nobody signs that."""
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        fields = []
    if len(fields) != 1 or fields[0][0] != "payload":
        raise BadSignature("the form holds more or less than the payload that is signed")
    return fields[0][1].encode()
