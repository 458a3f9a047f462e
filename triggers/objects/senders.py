"""Senders of notifications who sign with keys that have to be fetched: Amazon SNS, and Google's Pub/Sub.

`verify` checks all that needs no network, `prove` the signature itself, with the sender's own published key.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

import orjson

from triggers import web
from triggers.attributes import timestamp
from triggers.declared import Declared
from triggers.delivery import Delivery
from triggers.errors import InvalidEvent, InvalidTrigger, SourceUnavailable
from triggers.headers import fold
from triggers.payload import parse_json
from triggers.rsa import Certificate, NoKey, PublicKey
from triggers.senders import Sender
from triggers.signatures import BadSignature, check_tolerance

GOOGLE_KEYS = "https://www.googleapis.com/oauth2/v3/certs"
GOOGLE = ("https://accounts.google.com", "accounts.google.com")
LEEWAY_S = 60.0
MOST_KEPT = 16
# RSA signatures of 1,024 to 4,096 bits.
SIGNATURE_BYTES = range(128, 513)
# SNS tries to deliver for an hour at most.
SNS_TOLERANCE_S = 3_900.0
# How often keys may be asked for again because one is not among them, and what failed because it might work now.
REFRESH_S = 60.0
RETRY_S = 5.0
# In each `REFRESH_S` so many addresses that gave no key are asked, whoever makes up their names.
MOST_FAILURES = 10

_ARN = re.compile(r"arn:(aws[a-z-]*):sns:([a-z0-9-]+):[0-9]+:[A-Za-z0-9_.-]+")
_HOST = r"https://sns\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"
_CERTIFICATE = re.compile(_HOST + r"/SimpleNotificationService-[0-9A-Za-z]+\.pem")
_CONFIRMATION = re.compile(_HOST + r"/\?(?=[!-~]*Action=ConfirmSubscription)[!-~]+")
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_JWT = re.compile(r"bearer ([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.IGNORECASE)

# Certificates by their address, which is different for each; keys by theirs, with when they were fetched.
_certificates: dict[str, Certificate] = {}
_keys: dict[str, tuple[datetime, Mapping[str, PublicKey]]] = {}
# What came of asking addresses that gave none, and until when (by `time.monotonic`) that holds.
_failures: dict[str, tuple[float, InvalidEvent]] = {}
_asking: dict[str, asyncio.Future[bytes | InvalidEvent]] = {}


def is_confirmation(url: str) -> bool:
    """Whether an address is one by which SNS wants a subscription confirmed."""
    return _CONFIRMATION.fullmatch(url) is not None


@dataclass(frozen=True)
class SNS(metaclass=Declared):
    """Amazon SNS, for the topic (or topics) with these ARNs. Raw delivery is not signed, so it is refused.

    So is what was published more than `tolerance_s` ago, or from now.
    """

    delivery_headers: ClassVar[Sequence[str]] = ()
    sender: ClassVar[Sender | None] = None

    topic: str | tuple[str, ...]
    tolerance_s: float = SNS_TOLERANCE_S

    def __post_init__(self) -> None:
        check_tolerance(self.tolerance_s, "SNS")
        for topic in self._topics:
            if not _ARN.fullmatch(topic):
                raise InvalidTrigger(f"SNS: {topic!r} is no topic: give its ARN, such as arn:aws:sns:eu-west-1:1:name")

    @property
    def _topics(self) -> tuple[str, ...]:
        return (self.topic,) if isinstance(self.topic, str) else tuple(self.topic)

    def check(self) -> None:
        """Nothing is secret here."""

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature` unless the message says it is new, of one of the topics, and signed by their region."""
        message = self._message(body)
        if len(_unpacked(message["Signature"])) not in SIGNATURE_BYTES:
            raise BadSignature("Signature is not that of an RSA key")
        try:
            off_s = (now - timestamp(message.get("Timestamp"))).total_seconds()
        except InvalidEvent as error:
            raise BadSignature(f"Timestamp: {error}") from None
        if abs(off_s) > self.tolerance_s:
            raise BadSignature(f"Timestamp is more than {self.tolerance_s:g} s off: check both clocks")

    def signed(self, headers: Mapping[str, str], body: bytes) -> bytes:
        """What the signature covers: not the header with the subscription's name."""
        return _signed_text(self._message(body))

    async def prove(self, delivery: Delivery) -> None:
        """Raises `BadSignature`; `InvalidEvent` (503, which SNS tries again) while the certificate cannot be had."""
        message = self._message(delivery.body)
        certificate = await _certificate(str(message["SigningCertURL"]))
        if not certificate.not_before <= delivery.received_at <= certificate.not_after:
            raise BadSignature("SigningCertURL: the certificate is not valid now")
        algorithm: Literal["sha1", "sha256"] = "sha1" if message["SignatureVersion"] == "1" else "sha256"
        if not certificate.key.verifies(_unpacked(message.get("Signature")), _signed_text(message), algorithm):
            raise BadSignature("Signature does not match the message")

    def _message(self, body: bytes) -> Mapping[str, Any]:
        try:
            message = parse_json(body, "the body")
        except InvalidEvent as error:
            raise BadSignature(f"this is no message of SNS: {error}") from None
        if not isinstance(message, dict) or "Signature" not in message:
            raise BadSignature("there is no signature of SNS: switch raw message delivery off")
        topic = message.get("TopicArn")
        if topic not in self._topics:
            raise BadSignature(f"the topic {str(topic)[:100]!r} is not one that this hook listens to")
        found = _CERTIFICATE.fullmatch(str(message.get("SigningCertURL")))
        arn = _ARN.fullmatch(topic)
        if found is None or arn is None or found[1] != arn[2]:
            raise BadSignature("SigningCertURL is not an address of SNS in the region of the topic")
        if message.get("SignatureVersion") not in ("1", "2") or message.get("Type") not in tuple(_SIGNED):
            raise BadSignature("SignatureVersion or Type is not known")
        return message


def _signed_text(message: Mapping[str, Any]) -> bytes:
    """What SNS signs: names and values on lines of their own, in the order of the names; what is absent is left out."""
    present = [name for name in _SIGNED[str(message["Type"])] if message.get(name) is not None]
    return "".join(f"{name}\n{message[name]}\n" for name in present).encode("utf-8", "replace")


async def _certificate(url: str) -> Certificate:
    if url not in _certificates:
        raw = await _fetched(url)
        try:
            certificate = Certificate.of(raw)
        except NoKey as error:
            raise _failed(url, REFRESH_S, BadSignature(f"SigningCertURL: {error}")) from None
        if len(_certificates) >= MOST_KEPT:
            _certificates.clear()
        _certificates[url] = certificate
    return _certificates[url]


async def _fetched(url: str) -> bytes:
    """What is at an address. One that gave nothing is not asked again at once, and few of them in any minute.

    Raises `BadSignature`, or `InvalidEvent` (503) where it may be had later. Whoever comes while it is asked for waits.
    """
    if url in _asking:
        found = await asyncio.shield(_asking[url])
    else:
        _check_failures(url)
        asked = _asking[url] = asyncio.get_running_loop().create_future()
        found = _later("whoever asked first went away")
        try:
            found = await _asked(url)
        finally:
            del _asking[url]
            asked.set_result(found)
    if isinstance(found, InvalidEvent):
        raise found.with_traceback(None)
    return found


async def _asked(url: str) -> bytes | InvalidEvent:
    try:
        return await web.fetch(url)
    except web.NotThere as error:
        return _failed(url, REFRESH_S, BadSignature(str(error)))
    except SourceUnavailable as error:
        return _failed(url, RETRY_S, _later(str(error)))


def _check_failures(url: str) -> None:
    now_s = time.monotonic()
    for known, (until_s, _) in list(_failures.items()):
        if until_s <= now_s:
            del _failures[known]
    if url in _failures:
        raise _failures[url][1].with_traceback(None)
    if len(_failures) + len(_asking) >= MOST_FAILURES:
        raise _later("too many addresses gave no key")


def _later(why: str) -> InvalidEvent:
    return InvalidEvent(f"who sent this cannot be told now, send it again: {why}", status=503)


def _failed(url: str, holds_s: float, error: InvalidEvent) -> InvalidEvent:
    _failures[url] = (time.monotonic() + holds_s, error)
    return error


@dataclass(frozen=True)
class GooglePush(metaclass=Declared):
    """Pub/Sub pushes with a token (OIDC): for `audience`, and in the name of the service account `email`."""

    delivery_headers: ClassVar[Sequence[str]] = ()
    sender: ClassVar[Sender | None] = None

    audience: str
    email: str

    def __post_init__(self) -> None:
        if not self.audience or "@" not in self.email:
            raise InvalidTrigger("GooglePush: give the subscription's audience and its service account's email address")

    def check(self) -> None:
        """Nothing is secret here."""

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
        """Raises `BadSignature` unless the token says that it is Google's, for us, and still good."""
        _, claims, _, _ = _token(headers)
        if claims.get("iss") not in GOOGLE or claims.get("aud") != self.audience:
            raise BadSignature("the token is not by Google for this audience")
        if claims.get("email") != self.email or claims.get("email_verified") is not True:
            raise BadSignature("the token is not in the name of this hook's service account")
        expires_s, issued_s = (claims.get(name) for name in ("exp", "iat"))
        if not isinstance(expires_s, int | float) or not isinstance(issued_s, int | float):
            raise BadSignature("the token does not say how long it is good")
        if not issued_s - LEEWAY_S <= now.timestamp() <= expires_s + LEEWAY_S:
            raise BadSignature("the token has expired, or is of the future: check both clocks")

    async def prove(self, delivery: Delivery) -> None:
        """Raises `BadSignature`; `InvalidEvent` (503, which Pub/Sub tries again) while the keys cannot be had."""
        header, _, signed, signature = _token(delivery.headers)
        key = await _google_key(str(header.get("kid")), delivery.received_at)
        if header.get("alg") != "RS256" or key is None or not key.verifies(signature, signed, "sha256"):
            raise BadSignature("the token's signature is not Google's")


def _token(headers: Mapping[str, str]) -> tuple[Mapping[str, Any], Mapping[str, Any], bytes, bytes]:
    """Header, claims, what is signed, and the signature (RFC 7515 section 3.1)."""
    found = _JWT.fullmatch(fold(headers).get("authorization", ""))
    if found is None:
        raise BadSignature("header Authorization: send Bearer and a token: switch authentication of the push on")
    header, claims = (_json(found[part]) for part in (1, 2))
    return header, claims, f"{found[1]}.{found[2]}".encode(), _url_unpacked(found[3])


def _json(part: str) -> Mapping[str, Any]:
    try:
        value = orjson.loads(_url_unpacked(part))
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise BadSignature("header Authorization: this is no token")
    return value


async def _google_key(name: str, now: datetime) -> PublicKey | None:
    fetched_at, keys = _keys.get(GOOGLE_KEYS, (None, {}))
    if name not in keys and (fetched_at is None or (now - fetched_at).total_seconds() > REFRESH_S):
        keys = _key_set(await _fetched(GOOGLE_KEYS))
        _keys[GOOGLE_KEYS] = (now, keys)
    return keys.get(name)


def _key_set(raw: bytes) -> Mapping[str, PublicKey]:
    """The RSA keys of a JSON Web Key Set (RFC 7517), by name."""
    try:
        found = [one for one in orjson.loads(raw)["keys"] if one.get("kty") == "RSA"]
        return {str(one["kid"]): PublicKey(_number(one["n"]), _number(one["e"])) for one in found}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise InvalidEvent("Google's keys cannot be read now, send it again", status=503) from None


def _number(text: str) -> int:
    return int.from_bytes(_url_unpacked(text), "big")


def _url_unpacked(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        raise BadSignature("header Authorization: this is no token") from None


def _unpacked(text: Any) -> bytes:
    try:
        return base64.b64decode(text if isinstance(text, str) else "", validate=True)
    except (binascii.Error, ValueError):
        raise BadSignature("Signature is not base64") from None
