"""Verifiers: the right secret and nothing else, and `BadSignature` for all the rest."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from triggers.errors import InvalidTrigger
from triggers.signatures import HMAC, BadSignature, Bearer, GitHub, StandardWebhooks, Verifier

NOW = datetime(2026, 11, 22, tzinfo=UTC)
BODY = b'{"a":1}'
KEY = "whsec_" + base64.b64encode(b"k" * 32).decode()


def github_headers(secret: str, body: bytes = BODY) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def standard_headers(key: bytes, *, at: int = int(NOW.timestamp()), delivery: str = "msg_1") -> dict[str, str]:
    digest = hmac.new(key, f"{delivery}.{at}.".encode() + BODY, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": delivery, "webhook-timestamp": str(at), "webhook-signature": signature}


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Hub-Signature-256": ""}, {"X-Hub-Signature-256": "sha256="}, {"X-Hub-Signature-256": "sha1=00"},
     {"X-Hub-Signature-256": "sha256=" + "0" * 64}, {"X-Hub-Signature-256": "sha256=é€\udcff"},
     {"X-Hub-Signature": "sha1=" + hmac.new(b"s", BODY, "sha1").hexdigest()},
     github_headers("other"), github_headers("s", BODY + b" ")],
    ids=repr,
)  # fmt: skip
def test_github_refuses_what_the_secret_did_not_sign(headers: dict[str, str]) -> None:
    GitHub("s").verify(github_headers("s"), BODY, NOW)
    with pytest.raises(BadSignature) as refused:
        GitHub("s").verify(headers, BODY, NOW)
    assert refused.value.status == 401


def test_each_of_several_secrets_verifies() -> None:
    rotating = GitHub(["old", "new"])
    for secret in ("old", "new"):
        rotating.verify(github_headers(secret), BODY, NOW)
    keys = StandardWebhooks([KEY, base64.b64encode(b"n" * 32).decode()])
    for key in (b"k" * 32, b"n" * 32):
        keys.verify(standard_headers(key), BODY, NOW)


@pytest.mark.parametrize("off_s", [-300, 300])
def test_standard_webhook_is_taken_within_its_tolerance_only(off_s: int) -> None:
    at = int(NOW.timestamp()) + off_s
    StandardWebhooks(KEY).verify(standard_headers(b"k" * 32, at=at), BODY, NOW)
    with pytest.raises(BadSignature, match="off: check both clocks"):
        StandardWebhooks(KEY, tolerance_s=299).verify(standard_headers(b"k" * 32, at=at), BODY, NOW)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp"])
def test_standard_webhook_signs_its_id_and_timestamp(name: str) -> None:
    headers = standard_headers(b"k" * 32)
    headers[name] = str(int(NOW.timestamp()) + 1)
    with pytest.raises(BadSignature, match="does not match"):
        StandardWebhooks(KEY).verify(headers, BODY, NOW)


def test_hmac_takes_any_algorithm_encoding_and_prefix() -> None:
    digest = hmac.new(b"s", BODY, hashlib.sha512).digest()
    hexadecimal = HMAC("X-Sig", "sha512", "hex", "v=", secret="s")
    hexadecimal.verify({"x-sig": "v=" + digest.hex().upper()}, BODY, NOW)
    HMAC("X-Sig", "sha512", "base64", secret="s").verify({"x-sig": base64.b64encode(digest).decode()}, BODY, NOW)
    with pytest.raises(BadSignature, match="does not start with 'v='"):
        hexadecimal.verify({"x-sig": digest.hex()}, BODY, NOW)


@pytest.mark.parametrize("value", ["Bearer token", "bearer  token"])
def test_bearer_takes_the_token(value: str) -> None:
    Bearer("token").verify({"Authorization": value}, b"", NOW)


@pytest.mark.parametrize(
    "value", ["", "token", "Bearer", "Bearer ", "Basic token", "Bearer token2", "Bearer é", "Bearer token x"]
)
def test_bearer_refuses_another_token(value: str) -> None:
    with pytest.raises(BadSignature, match="Authorization"):
        Bearer("token").verify({"authorization": value}, b"", NOW)


VERIFIERS = [
    lambda secret: GitHub(secret),
    lambda secret: StandardWebhooks(secret),
    lambda secret: HMAC("X-Sig", secret=secret),
    lambda secret: Bearer(secret),
]


@pytest.mark.parametrize("make", VERIFIERS)
@pytest.mark.parametrize("secret", ["", [], ["", "x"]], ids=repr)
def test_empty_secret_is_refused_when_declared(make: Any, secret: Any) -> None:
    with pytest.raises(InvalidTrigger, match="secret is empty"):
        make(secret)


@pytest.mark.parametrize("make", VERIFIERS)
def test_secret_from_the_environment_is_looked_up_late_and_named_when_missing(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    verifier: Verifier = make("env:HOOK_SECRET")
    with pytest.raises(InvalidTrigger, match="'HOOK_SECRET' is not set"):
        verifier.check()
    monkeypatch.setenv("HOOK_SECRET", KEY)
    verifier.check()
    with pytest.raises(BadSignature):
        verifier.verify({}, BODY, NOW)


@pytest.mark.parametrize("secret", ["whsec_%%%", "whsec_", "whpk_AAAA", "é"])
def test_standard_webhook_secret_must_be_base64(secret: str) -> None:
    with pytest.raises(InvalidTrigger, match="not base64"):
        StandardWebhooks(secret)


@pytest.mark.parametrize("fields", [{"header": ""}, {"algorithm": "md5"}, {"encoding": "utf-8"}], ids=repr)
def test_hmac_declared_wrongly_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidTrigger, match="HMAC"):
        HMAC(**{"header": "X-Sig", "secret": "s", **fields})


@pytest.mark.parametrize("make", VERIFIERS)
def test_secrets_do_not_show(make: Any) -> None:
    assert KEY not in repr(make(KEY))


NAMES = st.sampled_from(
    ["X-Hub-Signature-256", "webhook-id", "webhook-timestamp", "webhook-signature", "Authorization", "X-Sig"]
)
GARBAGE = st.text(max_size=80) | st.sampled_from(
    ["v1,a,b", "v1,aa", "v1,", ",", "sha256=" + "g" * 64, str(int(NOW.timestamp()))]
)


@settings(deadline=None)
@given(st.dictionaries(NAMES, GARBAGE), st.binary(max_size=20))
@example(
    {"webhook-id": "\udcff", "webhook-timestamp": str(int(NOW.timestamp())), "webhook-signature": "v1," + "€" * 44},
    b"\xff",
)
@example({"webhook-id": "1", "webhook-timestamp": "9" * 5_000, "webhook-signature": "v1,"}, b"")
def test_garbage_is_a_bad_signature_and_nothing_else(headers: dict[str, str], body: bytes) -> None:
    for verifier in (GitHub("s"), StandardWebhooks(KEY), HMAC("X-Sig", encoding="base64", secret="s"), Bearer("\x00")):
        with pytest.raises(BadSignature):
            verifier.verify(headers, body, NOW)
