"""Standard Webhooks and the providers' signatures against published vectors."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conformance.vectors import vectors
from triggers.delivery import Answer, Delivery
from triggers.errors import InvalidTrigger
from triggers.providers import Bitbucket, CircleCI, GitLab
from triggers.signatures import BadSignature, GitHub, StandardWebhooks, Verifier
from triggers.webhook import Webhook, admit, receive

SIGN = vectors("standard_webhooks/vectors.json")["sign"]
VERIFY = vectors("standard_webhooks/vectors.json")["verify"]
PROVIDERS = vectors("signatures/providers.json")["providers"]
GITHUB = vectors("payloads/github_selected.json")

FIRST = SIGN[0]
RIGHT = FIRST["signature"]
WRONG = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA="
NOW = datetime.fromtimestamp(FIRST["timestamp"], UTC)

HEADER_CHANGES: dict[str, dict[str, str | None]] = {
    "missing webhook-id": {"webhook-id": None},
    "missing webhook-timestamp": {"webhook-timestamp": None},
    "missing webhook-signature": {"webhook-signature": None},
    'webhook-timestamp "hello"': {"webhook-timestamp": "hello"},
    'signature "v1,"': {"webhook-signature": "v1,"},
    "first 8 chars of the signature": {"webhook-signature": RIGHT[:11]},
    f"signature {WRONG} (last char changed)": {"webhook-signature": WRONG},
    "multi: wrong v1, wrong v2, right v1, wrong v1": {
        "webhook-signature": f"{WRONG} v2,{RIGHT[3:-3]}AA= {RIGHT} {WRONG}"
    },
    "multi: three wrong v1": {"webhook-signature": f"{WRONG} {WRONG} {WRONG}"},
    "v1a entry before right v1": {"webhook-signature": f"v1a,{'A' * 86}== {RIGHT}"},
    "now, right signature": {},
}
CLOCK_SHIFTS = {"timestamp now-301 s": 301, "timestamp now+301 s": -301}
SECRETS = {"secret with and without whsec_", "secret unpadded base64 (31 and 34 chars)", 'empty secret, "whsec_"'}


def headers_of(case: dict[str, Any], **changed: str | None) -> dict[str, str]:
    headers = {
        "webhook-id": case["id"],
        "webhook-timestamp": str(case["timestamp"]),
        "webhook-signature": case["signature"],
    }
    return {name: value for name, value in {**headers, **changed}.items() if value is not None}


def accepts(verifier: Verifier, headers: dict[str, str], body: bytes, now: datetime) -> bool:
    try:
        verifier.verify(headers, body, now)
    except BadSignature:
        return False
    return True


@pytest.mark.parametrize("case", SIGN, ids=lambda case: case["cite"])
def test_published_standard_webhook_verifies(case: dict[str, Any]) -> None:
    now = datetime.fromtimestamp(case["timestamp"], UTC)
    assert accepts(StandardWebhooks(case["secret"]), headers_of(case), case["body"].encode(), now)
    assert not accepts(StandardWebhooks(case["secret"]), headers_of(case), case["body"].encode() + b" ", now)


@pytest.mark.parametrize(
    "case", [case for case in VERIFY if case["name"] not in SECRETS], ids=lambda case: case["name"]
)
def test_standard_webhook_case(case: dict[str, Any]) -> None:
    now = NOW + timedelta(seconds=CLOCK_SHIFTS.get(case["name"], 0))
    headers = headers_of(FIRST, **({} if case["name"] in CLOCK_SHIFTS else HEADER_CHANGES[case["name"]]))
    accepted = accepts(StandardWebhooks(FIRST["secret"]), headers, FIRST["body"].encode(), now)
    assert accepted is (case["expect"] == "accept")


def test_standard_webhook_secret_with_and_without_prefix_is_the_same() -> None:
    bare = FIRST["secret"].removeprefix("whsec_")
    assert accepts(StandardWebhooks(bare), headers_of(FIRST), FIRST["body"].encode(), NOW)


@pytest.mark.parametrize("characters", [31, 34])
def test_standard_webhook_secret_may_lack_its_padding(characters: int) -> None:
    StandardWebhooks("whsec_" + ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwAA")[:characters]).check()


@pytest.mark.parametrize("secret", ["", "whsec_"])
def test_empty_standard_webhook_secret_is_refused_at_declaration(secret: str) -> None:
    with pytest.raises(InvalidTrigger):
        StandardWebhooks(secret)


@pytest.mark.parametrize("value", ["1614265330.9", " 1614265330 ", "+1614265330", "1_614_265_330", "١٦١٤٢٦٥٣٣٠"])
def test_standard_webhook_timestamp_is_whole_seconds(value: str) -> None:
    headers = headers_of(FIRST, **{"webhook-timestamp": value})
    assert not accepts(StandardWebhooks(FIRST["secret"]), headers, FIRST["body"].encode(), NOW)


@pytest.mark.parametrize(
    ("provider", "header", "make"),
    [("github", "X-Hub-Signature-256", GitHub), ("bitbucket_cloud", "X-Hub-Signature", Bitbucket),
     ("circleci", "circleci-signature", CircleCI)],
)  # fmt: skip
def test_provider_vectors_verify(provider: str, header: str, make: Callable[[str], Verifier]) -> None:
    for case in PROVIDERS[provider]["vectors"]:
        verifier = make(case["secret"])
        assert accepts(verifier, {header: case["value"]}, case["body"].encode(), NOW)
        assert not accepts(verifier, {header: case["value"]}, case["body"].encode() + b"\n", NOW)
        assert not accepts(make("another"), {header: case["value"]}, case["body"].encode(), NOW)
    for case in PROVIDERS[provider].get("negative", []):
        assert not accepts(make("secret"), {header: case["header"]}, b"foo", NOW)


@pytest.mark.parametrize("case", SIGN, ids=lambda case: case["cite"])
def test_gitlab_signs_as_standard_webhooks(case: dict[str, Any]) -> None:
    now = datetime.fromtimestamp(case["timestamp"], UTC)
    assert accepts(GitLab(signing=case["secret"]), headers_of(case), case["body"].encode(), now)
    assert not accepts(
        GitLab(signing=case["secret"]), headers_of(case), case["body"].encode(), now + timedelta(hours=1)
    )


def test_github_vector_verifies() -> None:
    (case,) = PROVIDERS["github"]["vectors"]
    verifier = GitHub(case["secret"])
    assert accepts(verifier, {"x-hub-signature-256": case["value"]}, case["body"].encode(), NOW)
    assert not accepts(verifier, {"x-hub-signature-256": case["value"][:-1] + "4"}, case["body"].encode(), NOW)


@pytest.mark.parametrize(("name", "payload"), GITHUB["payloads"].items(), ids=list(GITHUB["payloads"]))
async def test_real_github_payload_becomes_an_event(name: str, payload: dict[str, Any]) -> None:
    kind = name.partition(".")[0]
    headers = {"content-type": "application/json", "x-github-event": kind, "x-github-delivery": "d-1"}
    webhook = Webhook("ci")
    delivery = admit(webhook, Delivery.of("ci", headers, json.dumps(payload).encode(), NOW))
    events = await receive(webhook, delivery)
    assert not isinstance(events, Answer)
    if name == "ping":
        assert events == []
        return
    [event] = events
    assert (event.id, event.type) == ("d-1", f"dev.tidemill.webhook.github.{kind}")
    assert event.data == payload
    assert event.subject == payload["repository"]["full_name"]
