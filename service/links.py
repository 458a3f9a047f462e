"""One-time links to decide a gate, as signed text. Pure: a link and a key in, a token out, and back.

A token is `payload.signature`, both base64url without padding (RFC 4648, section 5). The signature is HMAC-SHA256 of
the payload under a key that is made for this purpose alone, so that nothing else that is signed with the same secret
can stand for a link.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from dataclasses import dataclass
from uuid import UUID

import orjson

from service.errors import ServiceError
from triggers.approval import Decision

KEY_BYTES = 32
PURPOSE = b"tidemill: a one-time link to decide a gate, version 1"
MOST_TOKEN = 4096
DECISIONS: tuple[Decision, ...] = ("approved", "rejected")


class InvalidLink(ServiceError):
    """What was given is no link of this installation, or was changed on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a link lets be done: `person` decides `gate` of a run in one way, about the artifact `subject`."""

    id: UUID
    run_id: int
    gate: str
    subject: str
    person: str
    decision: Decision
    expires_at_s: int


def sign(link: Link, secret: bytes) -> str:
    """The link as text that nobody without the secret can make."""
    fields = [link.id.hex, link.run_id, link.gate, link.subject, link.person, link.decision, link.expires_at_s]
    payload = _text(orjson.dumps(fields))
    return f"{payload}.{_text(_signature(payload, secret))}"


def read(token: str, secret: bytes) -> Link:
    """The link of a token. Nothing in it is believed before its signature holds. Raises `InvalidLink`."""
    payload, dot, signature = token.partition(".")
    if len(token) > MOST_TOKEN or not dot or not token.isascii():
        raise InvalidLink("this is no link of this installation")
    # Compared as text: base64 has several spellings of the same bytes, and only one of them was handed out.
    if not hmac.compare_digest(_text(_signature(payload, secret)), signature):
        raise InvalidLink("this is no link of this installation, or it was changed on its way")
    try:
        name, run_id, gate, subject, person, decision, expires_at_s = orjson.loads(urlsafe_b64decode(_padded(payload)))
    except (Error, ValueError, orjson.JSONDecodeError):
        raise InvalidLink("this is no link of this version") from None
    return Link(
        id=UUID(hex=name),
        run_id=run_id,
        gate=gate,
        subject=subject,
        person=person,
        decision=decision,
        expires_at_s=expires_at_s,
    )


def _signature(payload: str, secret: bytes) -> bytes:
    key = hmac.digest(secret, PURPOSE, hashlib.sha256)
    return hmac.digest(key, payload.encode(), hashlib.sha256)


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)
