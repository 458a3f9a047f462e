"""Notifications by senders who sign: SNS, and Google's push. Forged, foreign and stale ones are refused."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import orjson
import pytest

from tests.unit.rsa_keys import EXPONENT, KeyPair, key_pair
from triggers import web
from triggers.adapters import AsCloudEvent
from triggers.delivery import Answer, Delivery
from triggers.errors import InvalidEvent, InvalidTrigger, SourceUnavailable
from triggers.objects import ObjectNotices
from triggers.objects import senders as object_senders
from triggers.objects.reader import NoticeReader
from triggers.objects.senders import GOOGLE_KEYS, SNS, GooglePush
from triggers.rsa import Certificate, NoKey
from triggers.signatures import BadSignature
from triggers.webhook import Webhook, admit, receive

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
TOPIC = "arn:aws:sns:eu-west-1:123456789012:landing"
CERTIFICATE = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-010a507c1833636cd94bdb98bd93083a.pem"
CONFIRM = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
S3 = {
    "Records": [
        {
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "bucket"}, "object": {"key": "landing/a+b.csv", "eTag": "e1"}},
        }
    ]
}
NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


class Web:
    """What answers instead of the web, and what it was asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes | SourceUnavailable] = {}
        self.asked: list[str] = []

    async def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        page = self.pages.get(url, web.NotThere(f"{url} answered 404"))
        if isinstance(page, SourceUnavailable):
            raise page
        return page


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Web:
    pages = Web()
    monkeypatch.setattr(web, "fetch", pages.fetch)
    monkeypatch.setattr(object_senders, "_certificates", {})
    monkeypatch.setattr(object_senders, "_keys", {})
    monkeypatch.setattr(object_senders, "_failures", {})
    monkeypatch.setattr(object_senders, "_asking", {})
    pages.pages[CERTIFICATE] = key_pair().certificate(NOW - timedelta(days=1), NOW + timedelta(days=1))
    pages.pages[CONFIRM] = b"<ConfirmSubscriptionResponse/>"
    return pages


def sns(version: Literal["1", "2"] = "2", key: KeyPair | None = None, **changed: Any) -> dict[str, Any]:
    message = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": orjson.dumps(S3).decode(),
        "Timestamp": "2026-01-01T12:00:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
    } | changed
    names = NOTIFICATION if message["Type"] == "Notification" else CONFIRMATION
    text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
    signature = (key or key_pair()).sign(text.encode(), "sha1" if version == "1" else "sha256")
    return {"Signature": base64.b64encode(signature).decode()} | message


async def delivered(
    hook: ObjectNotices, payload: Any, headers: Mapping[str, str] | None = None, *, dry: bool = False
) -> Any:
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    given = {"content-type": "text/plain; charset=UTF-8"} | dict(headers or {})
    delivery = Delivery(hook="h", headers=given, body=body, received_at=NOW, dry=dry)
    return await receive(hook, admit(hook, delivery))


HOOK = ObjectNotices("h", verify=SNS(TOPIC))


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_signed_notification_is_an_event_for_each_object(outside: Web, version: Literal["1", "2"]) -> None:
    for subject in ({}, {"Subject": "Amazon S3 Notification"}):
        [event] = await delivered(HOOK, sns(version, **subject))
        assert (event.source, event.id) == ("s3://bucket", "landing/a b.csv@e1")
    assert outside.asked == [CERTIFICATE], "a certificate is fetched once"


async def test_a_subscription_is_confirmed_once_it_is_known_who_asks(outside: Web) -> None:
    asked = {"Type": "SubscriptionConfirmation", "SubscribeURL": CONFIRM, "Token": "2336412f37", "Message": "You chose"}
    answer = await delivered(HOOK, sns(**asked))
    assert isinstance(answer, Answer)
    assert (answer.status, outside.asked) == (200, [CERTIFICATE, CONFIRM])
    forged = sns(**asked) | {"Token": "another"}
    with pytest.raises(BadSignature):
        await delivered(HOOK, forged)
    assert outside.asked == [CERTIFICATE, CONFIRM]


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.eu-west-1.amazonaws.com.evil.example/?Action=ConfirmSubscription",
        "http://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://user@sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://sns.eu-west-1.amazonaws.com/?Action=DeleteTopic",
        "https://evil.example/sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        "file:///etc/passwd?Action=ConfirmSubscription",
        "",
    ],
)
async def test_nothing_else_is_ever_asked_for_in_a_confirmation(outside: Web, url: str) -> None:
    asked = sns(Type="SubscriptionConfirmation", SubscribeURL=url, Token="t", Message="m")
    with pytest.raises(InvalidEvent, match="no SubscribeURL at which SNS"):
        await delivered(HOOK, asked)
    assert url not in outside.asked


@pytest.mark.parametrize(
    "url",
    [
        "https://sns.eu-west-1.amazonaws.com.evil.example/SimpleNotificationService-0a.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://evil.example#sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://bucket.s3.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0a.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem?x",
        "https://sns.eu-west-1.amazonaws.com/../evil/SimpleNotificationService-0a.pem",
        "http://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a.pem",
    ],
)
async def test_a_certificate_from_anywhere_else_is_not_even_fetched(outside: Web, url: str) -> None:
    outside.pages[url] = outside.pages[CERTIFICATE]
    with pytest.raises(BadSignature, match="SigningCertURL"):
        await delivered(HOOK, sns(SigningCertURL=url))
    assert outside.asked == []


async def test_forged_foreign_and_unsigned_messages_are_refused(outside: Web) -> None:
    foreign = TOPIC.replace("123456789012", "999999999999")
    refused: list[Any] = [
        sns(key=key_pair("another")),
        sns() | {"Message": "{}"},
        sns() | {"Signature": ""},
        sns() | {"Signature": "not base64"},
        sns() | {"SignatureVersion": "3"},
        sns("1") | {"SignatureVersion": "2"},
        sns(TopicArn=foreign),
        sns(Type="Anything"),
        S3,
        [],
        b"{",
        b"",
    ]
    for payload in refused:
        with pytest.raises(BadSignature):
            await delivered(HOOK, payload)


async def test_a_certificate_that_does_not_hold_now_or_is_none_is_refused(outside: Web) -> None:
    outside.pages[CERTIFICATE] = key_pair().certificate(NOW - timedelta(days=2), NOW - timedelta(days=1))
    with pytest.raises(BadSignature, match="not valid now"):
        await delivered(HOOK, sns())
    object_senders._certificates.clear()
    outside.pages[CERTIFICATE] = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    with pytest.raises(BadSignature, match="no certificate"):
        await delivered(HOOK, sns())


async def test_while_the_certificate_cannot_be_had_the_sender_is_told_to_come_again(outside: Web) -> None:
    outside.pages[CERTIFICATE] = SourceUnavailable("no route")
    with pytest.raises(InvalidEvent) as told:
        await delivered(HOOK, sns())
    assert told.value.status == 503
    del outside.pages[CERTIFICATE]
    object_senders._failures.clear()
    with pytest.raises(BadSignature):
        await delivered(HOOK, sns())


@pytest.mark.parametrize("page", [SourceUnavailable("no route"), web.NotThere("404"), b"no certificate"])
async def test_an_address_that_gave_no_certificate_is_not_asked_again_at_once(
    outside: Web, page: SourceUnavailable | bytes
) -> None:
    outside.pages[CERTIFICATE] = page
    for _ in range(3):
        with pytest.raises(InvalidEvent, match=r"404|no route|no certificate"):
            await delivered(HOOK, sns())
    assert outside.asked == [CERTIFICATE]
    outside.pages[CERTIFICATE] = key_pair().certificate(NOW - timedelta(days=1), NOW + timedelta(days=1))
    object_senders._failures[CERTIFICATE] = (time.monotonic(), object_senders._failures[CERTIFICATE][1])
    assert len(await delivered(HOOK, sns())) == 1


async def test_made_up_names_of_certificates_cost_few_questions(outside: Web) -> None:
    for number in range(50):
        made_up = CERTIFICATE.replace("010a507c", f"{number:08}")
        with pytest.raises(InvalidEvent):
            await delivered(HOOK, sns(SigningCertURL=made_up))
    assert len(outside.asked) == object_senders.MOST_FAILURES


async def test_messages_that_come_at_once_ask_once_for_their_certificate(outside: Web) -> None:
    slow = outside.fetch

    async def fetch(url: str) -> bytes:
        await asyncio.sleep(0.01)
        return await slow(url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(web, "fetch", fetch)
        found = await asyncio.gather(*(delivered(HOOK, sns()) for _ in range(5)))
    assert [len(one) for one in found] == [1] * 5
    assert outside.asked == [CERTIFICATE]


@pytest.mark.parametrize("signature", [None, "", "EXAMPLE", "AA==", ["x"], base64.b64encode(bytes(513)).decode()])
async def test_what_cannot_be_a_signature_is_refused_before_anything_is_asked(outside: Web, signature: Any) -> None:
    with pytest.raises(BadSignature, match="Signature is not"):
        await delivered(HOOK, sns() | {"Signature": signature})
    assert outside.asked == []


@pytest.mark.parametrize("minutes", [-66, 66, -60 * 24 * 365])
async def test_what_was_published_too_long_ago_is_refused_before_anything_is_asked(outside: Web, minutes: int) -> None:
    at = (NOW + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
    with pytest.raises(BadSignature, match="Timestamp is more than 3900 s off"):
        await delivered(HOOK, sns(Timestamp=at))
    for wrong in (None, "yesterday", 7):
        with pytest.raises(BadSignature, match="Timestamp"):
            await delivered(HOOK, sns(Timestamp=wrong))
    assert outside.asked == []
    assert len(await delivered(HOOK, sns(Timestamp="2026-01-01T11:00:00.000Z"))) == 1


async def test_who_only_asks_what_would_become_of_it_causes_nothing_outside(outside: Web) -> None:
    asked = sns(Type="SubscriptionConfirmation", SubscribeURL=CONFIRM, Token="t", Message="m")
    assert await delivered(HOOK, asked, dry=True) == Answer(200)
    [event] = await delivered(HOOK, sns(), dry=True)
    assert event.source == "s3://bucket"
    assert outside.asked == []


async def test_any_hook_proves_who_signs_and_a_captured_message_is_known_whatever_its_subscription(
    outside: Web,
) -> None:
    hook = Webhook("h", verify=SNS(TOPIC), read=AsCloudEvent())
    message = sns(UnsubscribeURL="https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe")
    found = []
    for number in (1, 2):
        headers = {"x-amz-sns-subscription-arn": f"{TOPIC}:{number}"}
        body = orjson.dumps(message | {"UnsubscribeURL": f"https://example.com/{number}"})
        delivery = admit(hook, Delivery(hook="h", headers=headers, body=body, received_at=NOW))
        [event] = [*await receive(hook, delivery)]  # type: ignore[misc]
        found.append((event.source, event.id, delivery.signed))
    assert [source for source, _, _ in found] == [f"{TOPIC}:1", f"{TOPIC}:2"]
    assert {name for _, name, _ in found} == {message["MessageId"]}
    assert len({signed for _, _, signed in found} - {""}) == 1
    forged = Delivery(hook="h", headers={}, body=orjson.dumps(message | {"Message": "x"}), received_at=NOW)
    with pytest.raises(BadSignature, match="Signature does not match"):
        await receive(hook, admit(hook, forged))


def test_a_topic_is_given_by_its_arn() -> None:
    with pytest.raises(InvalidTrigger, match="give its ARN"):
        SNS("landing")


AUDIENCE, EMAIL = "https://tidemill.example/hooks/h", "push@project.iam.gserviceaccount.com"
PUSH = ObjectNotices("h", verify=GooglePush(AUDIENCE, EMAIL))
PUSHED = {"message": {"attributes": {"eventType": "OBJECT_FINALIZE", "bucketId": "b", "objectId": "k"}}}


def packed(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def token(key: KeyPair | None = None, header: Mapping[str, Any] | None = None, **changed: Any) -> dict[str, str]:
    claims = {
        "iss": "https://accounts.google.com",
        "aud": AUDIENCE,
        "email": EMAIL,
        "email_verified": True,
        "iat": NOW.timestamp() - 10,
        "exp": NOW.timestamp() + 3_600,
    } | changed
    head = {"alg": "RS256", "kid": "k1"} | dict(header or {})
    signed = f"{packed(orjson.dumps(head))}.{packed(orjson.dumps(claims))}"
    return {"authorization": f"Bearer {signed}.{packed((key or key_pair()).sign(signed.encode()))}"}


@pytest.fixture
def google(outside: Web) -> Web:
    modulus = key_pair().modulus
    numbers = {
        "n": packed(modulus.to_bytes((modulus.bit_length() + 7) // 8, "big")),
        "e": packed(EXPONENT.to_bytes(3, "big")),
    }
    outside.pages[GOOGLE_KEYS] = orjson.dumps({"keys": [{"kty": "RSA", "kid": "k1"} | numbers, {"kty": "EC"}]})
    return outside


async def test_a_push_with_googles_token_is_an_event(google: Web) -> None:
    for _ in range(3):
        [event] = await delivered(PUSH, PUSHED, token())
    assert event.source == "gs://b"
    assert google.asked == [GOOGLE_KEYS]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer x"},
        {"authorization": "Bearer a.b.c"},
        token(key_pair("another")),
        token(header={"alg": "none"}),
        token(header={"alg": "HS256"}),
        token(header={"kid": "k2"}),
        token(iss="https://evil.example"),
        token(aud="https://elsewhere.example"),
        token(email="other@project.iam.gserviceaccount.com"),
        token(email_verified=False),
        token(exp=NOW.timestamp() - 120),
        token(iat=NOW.timestamp() + 120),
        token(exp=None),
    ],
)
async def test_a_push_without_the_right_token_is_refused(google: Web, headers: dict[str, str]) -> None:
    with pytest.raises(BadSignature):
        await delivered(PUSH, PUSHED, headers)
    assert len(google.asked) <= 1


async def test_unknown_keys_do_not_make_us_ask_google_again_and_again(google: Web) -> None:
    for _ in range(5):
        with pytest.raises(BadSignature):
            await delivered(PUSH, PUSHED, token(header={"kid": "unknown"}))
    assert google.asked == [GOOGLE_KEYS]


async def test_event_grid_gets_its_code_back() -> None:
    asked = [
        {
            "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent",
            "data": {"validationCode": "512d38b6", "validationUrl": "https://rp.eventgrid.azure.net/validate"},
        }
    ]
    answer = await NoticeReader().read(
        Delivery(
            hook="h", headers={"aeg-event-type": "SubscriptionValidation"}, body=orjson.dumps(asked), received_at=NOW
        )
    )
    assert answer == Answer(200, b'{"validationResponse":"512d38b6"}', "application/json")


def test_a_certificate_made_by_others_is_read(tmp_path: Path) -> None:
    """By OpenSSL, where it is: what `rsa_keys` makes was written by the same hand as what reads it."""
    options = "-newkey rsa:2048 -nodes -days 3 -subj /CN=sns.amazonaws.com -keyout key -out cert"
    made = ["openssl", "req", "-x509", *options.split()]
    subprocess.run(made, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "text").write_bytes(b"what is signed")
    certificate = Certificate.of((tmp_path / "cert").read_bytes())
    for algorithm in ("sha1", "sha256"):
        sign = [*f"openssl dgst -{algorithm} -sign key -out signature text".split()]
        subprocess.run(sign, cwd=tmp_path, check=True, capture_output=True)
        signature = (tmp_path / "signature").read_bytes()
        assert certificate.key.verifies(signature, b"what is signed", algorithm)
        assert not certificate.key.verifies(signature, b"what is not", algorithm)
    assert certificate.not_after - certificate.not_before == timedelta(days=3)


@pytest.mark.parametrize("cut", [0, 1, 40, 150, 200])
def test_half_a_certificate_is_none(cut: int) -> None:
    whole = base64.b64decode(b"".join(key_pair().certificate(NOW, NOW).splitlines()[1:-1]))
    half = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(whole[:cut]) + b"-----END CERTIFICATE-----"
    with pytest.raises(NoKey):
        Certificate.of(half)
